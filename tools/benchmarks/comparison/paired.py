# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Differences between models on the same resamples of the images.

Axis letters: N images, C labels, B resamples.
"""

import math
from collections.abc import Callable, Sequence

import torch
from tables.writing import cell_text
from torch import Tensor

from cnnrnn_mm.evaluation.functional import (
    bootstrap_scores,
    centred_intervals,
    label_set_statistic,
    mean_over_classes,
    rank_classes,
    ranked_average_precision,
)

from .figures import decided_sets
from .measure import Measure
from .outputs import Outputs

__all__ = ['PAIRED', 'Resampled', 'compare', 'paired_text', 'resample']

#: What is compared.
PAIRED = ('mAP', 'O-F1*', 'EM', 'example-F1')


#: By name of the figure: its mean over the seeds, and (B,) the same in each resample.
Resampled = dict[str, tuple[float, Tensor]]


def resample(
    outputs: Sequence[Outputs],
    thresholds: Sequence[float],
    num_resamples: int,
    seed: int,
    measure: Measure | None = None,
) -> Resampled:
    """The figures of a row in each resample of the images.

    The draws depend on N and the seed alone: the figures of two rows at the same place of (B,) are
    of the same images.

    Args:
        outputs: Of each seed of the row.
        thresholds: Of each seed.
        num_resamples: B.
        seed: Of the draws.
        measure: What is resampled; None for ``PAIRED``.
    """
    make = _statistic if measure is None else measure.statistic
    statistics = [make(one, value) for one, value in zip(outputs, thresholds, strict=True)]

    def mean(weights: Tensor) -> dict[str, Tensor]:
        found = [statistic(weights) for statistic in statistics]
        return {name: torch.stack([one[name] for one in found]).mean(0) for name in found[0]}

    num_images = len(outputs[0].target)
    once = mean(torch.ones(num_images, 1))
    drawn = bootstrap_scores(mean, num_images, num_resamples, seed)
    return {name: (float(once[name]), drawn[name]) for name in once}


def compare(
    row: Resampled, other: Resampled, confidence: float = 0.95
) -> dict[str, dict[str, float | None]]:
    """``difference`` row - other, and the interval from ``low`` to ``high``, for each figure.

    Resamples without an image that a figure is of are left out of its interval; where no image is,
    there is None.
    """
    found = {}
    for name, (figure, drawn) in row.items():
        difference, moved = figure - other[name][0], drawn - other[name][1]
        moved, ends = moved[moved.isfinite()], (None, None)
        if len(moved):
            ends = centred_intervals({name: moved}, {name: difference}, confidence)[name]
        known = difference if math.isfinite(difference) else None
        found[name] = dict(difference=known, low=ends[0], high=ends[1])
    return found


def paired_text(cell: dict[str, float | None]) -> str:
    """A difference and its interval; a sign for none."""
    if cell['difference'] is None:
        return cell_text(None)
    if cell['low'] is None:
        return f'{cell["difference"]:+.1f}'
    return f'{cell["difference"]:+.1f} [{cell["low"]:+.1f}, {cell["high"]:+.1f}]'


def _statistic(outputs: Outputs, threshold: float) -> Callable[[Tensor], dict[str, Tensor]]:
    ranking = list(rank_classes(outputs.scores, outputs.target, outputs.ignored))
    sets = decided_sets(outputs, threshold)
    tuned = label_set_statistic(sets['tuned'], outputs.target)
    own = label_set_statistic(sets['own'], outputs.target)

    def figures(weights: Tensor) -> dict[str, Tensor]:
        precision = ranked_average_precision(ranking, weights, ['area'])['area']
        of_sets = own(weights)
        return {
            'mAP': mean_over_classes(precision, skip_absent=True),
            'O-F1*': tuned(weights)['O-F1'],
            'EM': of_sets['exact-match'],
            'example-F1': of_sets['example-F1'],
        }

    return figures
