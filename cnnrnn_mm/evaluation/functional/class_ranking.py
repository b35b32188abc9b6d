# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Images ranked by their score for a class, cut where average precision changes.

Axis letters: N images, C classes, M ranked images, P true ones among them, S segments: the ranking
is cut behind each score that a true image has. Images behind the last of them change no average
precision, and neither do images that are ignored for the class: both are left out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['ClassRanking', 'rank_classes']


class ClassRanking(NamedTuple):
    """The ranking of one class.

    Attributes:
        images: Ranked images up to the last true one (M,) int32.
        starts: Where the segments start in ``images``, and then M, (S + 1,) int32.
        true_images: The true ones among them (P,) int32.
        true_starts: Where the segments start in ``true_images``, and then P, (S + 1,) int32.
    """

    images: Tensor
    starts: Tensor
    true_images: Tensor
    true_starts: Tensor


def rank_classes(
    scores: Tensor, target: Tensor, ignored: Tensor | None = None
) -> Iterator[ClassRanking]:
    """Rank the images for each class.

    Args:
        scores: Any real numbers, higher for more certain, float (N, C).
        target: True labels, BoolTensor (N, C).
        ignored: Labels that count neither way, BoolTensor (N, C). Defaults to None: none.

    Returns:
        C rankings, each made when it is asked for.

    Raises:
        TypeError: If target or ignored is not boolean.
        ValueError: If shapes do not fit or a score is NaN.
    """
    _check(scores, target, ignored)
    columns = [matrix.t() for matrix in (scores, target, ignored) if matrix is not None]
    return (_rank(*(column.contiguous() for column in one)) for one in zip(*columns, strict=True))


def _rank(scores: Tensor, target: Tensor, ignored: Tensor | None = None) -> ClassRanking:
    """Rank the images for one class; each argument is (N,)."""
    images = torch.arange(len(scores))
    if ignored is not None:
        images = images[~ignored]
    ranked, order = scores[images].sort(descending=True)
    images = images[order]
    is_true = target[images]
    new_score = torch.ones_like(is_true)
    new_score[1:] = ranked[1:] != ranked[:-1]
    tie = new_score.cumsum(0) - 1  # images of equal score share a number
    ends = tie[is_true].unique_consecutive()  # (S,) ties with a true image: each ends a segment
    segment = torch.searchsorted(ends, tie)  # S behind the last true image
    kept = segment < len(ends)
    return ClassRanking(
        images[kept].int(),
        _starts(segment[kept], len(ends)),
        images[is_true].int(),
        _starts(segment[is_true], len(ends)),
    )


def _starts(segment: Tensor, num_segments: int) -> Tensor:
    """Where each segment starts in a list whose entries say which one they are in (S + 1,)."""
    sizes = segment.bincount(minlength=num_segments)
    return torch.cat((sizes.new_zeros(1), sizes.cumsum(0))).int()


def _check(scores: Tensor, target: Tensor, ignored: Tensor | None) -> None:
    for name, matrix in (('target', target), ('ignored', ignored)):
        if matrix is not None and matrix.dtype != torch.bool:
            raise TypeError(f'{name} is {matrix.dtype}: give a boolean matrix, see labels_to_sets')
    shapes = {tuple(one.shape) for one in (scores, target, ignored) if one is not None}
    if len(shapes) != 1 or scores.ndim != 2 or scores.numel() == 0:
        raise ValueError(
            f'scores, target and ignored must have one shape (N, C) with at least one image and '
            f'one class, not {sorted(shapes)}'
        )
    if scores.isnan().any():
        raise ValueError('some scores are NaN, which have no place in a ranking')
