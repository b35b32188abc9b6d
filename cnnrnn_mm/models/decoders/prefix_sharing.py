# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which prefixes the label sequences of a batch have in common.

Axis letters: N sequences, T steps, M tokens that count, n distinct prefixes of one length.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['PrefixLevel', 'distinct_prefixes']


class PrefixLevel(NamedTuple):
    """The distinct prefixes of one length.

    Attributes:
        parents: (n,) int64, the places of their beginnings in the level before.
        tokens: (n,) int64, their last tokens.
    """

    parents: Tensor
    tokens: Tensor


def distinct_prefixes(
    tokens: Tensor, valid: Tensor, num_tokens: int
) -> tuple[list[PrefixLevel], Tensor]:
    """Merge equal prefixes.

    Args:
        tokens: (N, T) int64, from 0 to ``num_tokens - 1``.
        valid: (N, T) bool; within a row no True behind a False.
        num_tokens: Number of tokens.

    Returns:
        The levels by length, from 1 on, and for each token that counts, row by row, its prefix
        (M,), all levels counted through.
    """
    levels, counted = [], 0
    nodes = torch.zeros_like(tokens)
    within = torch.zeros_like(tokens[:, 0])  # place of each row's prefix in its level
    for place in range(tokens.shape[1]):
        rows = valid[:, place].nonzero().squeeze(-1)
        if len(rows) == 0:
            break
        keys = within[rows] * num_tokens + tokens[rows, place]
        keys, inverse = keys.unique(return_inverse=True)
        levels.append(PrefixLevel(keys.div(num_tokens, rounding_mode='floor'), keys % num_tokens))
        within[rows], nodes[rows, place] = inverse, inverse + counted
        counted += len(keys)
    return levels, nodes[valid]
