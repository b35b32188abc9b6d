# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the losses without a label order have in common, and orders drawn by chance.

Axis letters: N images, K orders of an image, S orders of all images, L labels of the longest list.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import permutations

import torch
from torch import Tensor

from ...errors import UsageError
from ..decoders import BatchScorer, ChainDecoder

__all__ = ['draw_orders', 'drop_true', 'refuse_fixed_order']

#: Lists up to here have few enough orders (720) to draw among them without replacement.
MOST_LISTED = 6


def refuse_fixed_order(scorer: BatchScorer, loss: str) -> None:
    """Refuse a decoder that knows one order only.

    Raises:
        UsageError: If the decoder is a :class:`ChainDecoder`.
    """
    if isinstance(scorer.decoder, ChainDecoder):
        raise UsageError(
            f'ChainDecoder gives each label set one path, in one fixed order, and {loss} learns '
            'others: use SequenceLoss with ChainDecoder, or another decoder'
        )


def drop_true(ignored: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
    """The ignored ids of each image that are no labels of it: what is true is always learnt."""
    return [one[~torch.isin(one, true)] for one, true in zip(ignored, labels, strict=True)]


def draw_orders(lengths: Sequence[int], num_orders: int) -> tuple[Tensor, Tensor]:
    """Draw orders of label lists, each order of a list as likely as any other.

    A list of n labels with n! orders or more of ``num_orders`` gets all of them, once. Up to six
    labels the others are drawn without replacement, longer lists independently: with K orders, two
    of them are equal with a probability below K² / (2 · 5040).

    The draws are torch's, on the CPU whatever the device, so a run's seed decides them and a
    resumed run goes on with them.

    Args:
        lengths: N numbers of labels.
        num_orders: K.

    Returns:
        The orders (S, L) int64: places in the list, those behind its end in their own place; and
        the image of each (S,) int64, ascending, min(K, n!) times each.
    """
    longest = max(lengths)
    orders, images = [], []
    for length in sorted(set(lengths)):
        rows = torch.tensor([row for row, one in enumerate(lengths) if one == length])
        drawn = _draw(length, len(rows), num_orders)  # (images of this length, K, n)
        behind = torch.arange(length, longest).expand(*drawn.shape[:2], -1)
        orders.append(torch.cat([drawn, behind], -1).flatten(0, 1))
        images.append(rows.repeat_interleave(drawn.shape[1]))
    images, places = torch.cat(images).sort(stable=True)
    return torch.cat(orders)[places], images


def _draw(length: int, count: int, num_orders: int) -> Tensor:
    if math.factorial(length) <= num_orders:
        return _all_orders(length).expand(count, -1, -1)
    if length <= MOST_LISTED:
        chance = torch.rand(count, math.factorial(length))
        return _all_orders(length)[chance.topk(num_orders).indices]
    return torch.rand(count, num_orders, length).argsort(-1)


@cache
def _all_orders(length: int) -> Tensor:
    """(n!, n)."""
    return torch.tensor(list(permutations(range(length))), dtype=torch.long)
