# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Differences between models on the same resamples of the images.

Axis letters: N images, C labels, B resamples.
"""

from collections.abc import Callable, Sequence

import torch
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
from .outputs import Outputs

__all__ = ['PAIRED', 'Resampled', 'compare', 'resample']

#: What is compared.
PAIRED = ('mAP', 'O-F1*', 'EM', 'example-F1')


#: By name of the figure: its mean over the seeds, and (B,) the same in each resample.
Resampled = dict[str, tuple[float, Tensor]]


def resample(
    outputs: Sequence[Outputs], thresholds: Sequence[float], num_resamples: int, seed: int
) -> Resampled:
    """The figures of a row in each resample of the images.

    The draws depend on N and the seed alone: the figures of two rows at the same place of (B,) are
    of the same images.

    Args:
        outputs: Of each seed of the row.
        thresholds: Of each seed.
        num_resamples: B.
        seed: Of the draws.
    """
    statistics = [_statistic(one, value) for one, value in zip(outputs, thresholds, strict=True)]

    def mean(weights: Tensor) -> dict[str, Tensor]:
        found = [statistic(weights) for statistic in statistics]
        return {name: torch.stack([one[name] for one in found]).mean(0) for name in PAIRED}

    num_images = len(outputs[0].target)
    once = mean(torch.ones(num_images, 1))
    drawn = bootstrap_scores(mean, num_images, num_resamples, seed)
    return {name: (float(once[name]), drawn[name]) for name in PAIRED}


def compare(
    row: Resampled, other: Resampled, confidence: float = 0.95
) -> dict[str, dict[str, float]]:
    """``difference`` row - other, and the interval from ``low`` to ``high``, for each figure."""
    differences = {name: row[name][0] - other[name][0] for name in PAIRED}
    drawn = {name: row[name][1] - other[name][1] for name in PAIRED}
    intervals = centred_intervals(drawn, differences, confidence)
    return {
        name: dict(difference=differences[name], low=intervals[name][0], high=intervals[name][1])
        for name in PAIRED
    }


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
