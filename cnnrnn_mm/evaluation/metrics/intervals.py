# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Scores with their intervals, under the names that the metrics report. Axis letter: N images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..functional import bootstrap_scores, canonical_order, centred_intervals
from ..functional.bootstrap import Statistic

__all__ = ['with_intervals']

#: Scores in labels; all others are percentages.
SIZES = ('set-size', 'gt-set-size', 'set-size-error')


def with_intervals(
    make_statistic: Callable[..., Statistic],
    columns: Sequence[Tensor],
    items: Sequence[str],
    bootstrap: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
    suffix: str = '',
) -> dict[str, float]:
    """The chosen scores and, where asked for, their intervals.

    Args:
        make_statistic: Takes the columns and gives a function of weights, see
            functional/bootstrap.py.
        columns: All that the scores depend on, (N, ...) each. For intervals the images are put in
            an order of their own, so that the resamples do not depend on the order they came in.
        items: Names of scores.
        bootstrap: Resamples; 0 for no intervals.
        confidence: Share of the resamples inside an interval.
        seed: Of the resamples.
        suffix: Put behind the names of the scores.

    Returns:
        ``{item}{suffix}`` and, behind it, ``{item}{suffix}_low`` and ``{item}{suffix}_high``, cut
        off at 0 and at 100 percent.
    """
    if bootstrap:
        order = canonical_order(*columns)
        columns = [column[order] for column in columns]
    statistic = make_statistic(*columns)
    num_images = len(columns[0])
    scores = statistic(torch.ones(num_images, 1))
    if not bootstrap:
        return {item + suffix: scores[item].item() for item in items}
    resampled = bootstrap_scores(statistic, num_images, bootstrap, seed)
    intervals = centred_intervals(resampled, scores, confidence)
    metrics = {}
    for item in items:
        low, high = intervals[item]
        metrics[item + suffix] = scores[item].item()
        metrics[f'{item}{suffix}_low'] = max(low, 0.0)
        metrics[f'{item}{suffix}_high'] = high if item in SIZES else min(high, 100.0)
    return metrics
