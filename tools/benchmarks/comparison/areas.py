# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Recall of labels by the area of their objects.

Axis letters: N images, C labels, P pairs of an image and one of its labels, G groups of pairs,
b resamples of the images.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from cnnrnn_mm.errors import UsageError

from .figures import decided_sets
from .measure import Measure
from .outputs import Outputs

__all__ = ['area_groups', 'class_group', 'group_recall', 'recall_measure']

SIZES = ('small', 'medium', 'large')


def area_groups(
    target: Tensor, areas: Sequence[Mapping[int, float]], limits: tuple[float, float]
) -> dict[str, Tensor]:
    """Which true labels are small, medium and large.

    Args:
        target: True labels (N, C) bool.
        areas: Of each image, by label, the share of the image that its largest object covers.
        limits: Shares: below the first is small, above the second large.

    Returns:
        Pairs (N, C) bool by size; a label without an area is in none.
    """
    shares = torch.full(target.shape, torch.nan, dtype=torch.float64)
    for row, of_image in enumerate(areas):
        for label, share in of_image.items():
            shares[row, label] = share
    low, high = limits
    found = (shares < low, (shares >= low) & (shares <= high), shares > high)
    return {name: one & target for name, one in zip(SIZES, found, strict=True)}


def class_group(target: Tensor, classes: Sequence[str], names: Sequence[str]) -> Tensor:
    """The true labels (N, C) bool that are of some classes."""
    unknown = [one for one in names if one not in classes]
    if unknown:
        raise UsageError(
            f"there is no class '{unknown[0]}': choose from {', '.join(classes[:20])}"
            + (' and so on' if len(classes) > 20 else '')
        )
    chosen = torch.tensor([one in names for one in classes])
    return target & chosen


def group_recall(
    sets: Tensor, groups: Mapping[str, Tensor]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """The share of each group's pairs that is found, in percent.

    Args:
        sets: Predicted labels (N, C) bool.
        groups: Pairs (N, C) bool by name.

    Returns:
        A function of weights of the images (N, b): by name (b,), NaN where no pair counts.
    """
    counts = {
        name: torch.stack([(sets & pairs).sum(1), pairs.sum(1)]).double()  # (2, N)
        for name, pairs in groups.items()
    }

    def recall(weights: Tensor) -> dict[str, Tensor]:
        sums = {name: one @ weights.double() for name, one in counts.items()}
        return {name: 100 * found / pairs for name, (found, pairs) in sums.items()}

    return recall


def recall_measure(groups: Mapping[str, Tensor], title: str, notes: Sequence[str]) -> Measure:
    """Recall of groups of pairs (N, C) by ``pred_label``, and with a star at the threshold."""

    def statistic(outputs: Outputs, threshold: float) -> Callable[[Tensor], dict[str, Tensor]]:
        sets = decided_sets(outputs, threshold)
        plain, tuned = (group_recall(sets[name], groups) for name in ('predicted', 'tuned'))
        return lambda weights: {
            **plain(weights),
            **{f'{name}*': value for name, value in tuned(weights).items()},
        }

    columns = (*groups, *(f'{name}*' for name in groups))
    return Measure(title, columns, statistic, list(notes))
