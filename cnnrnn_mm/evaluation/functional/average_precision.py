# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Average precision of each class: images ranked by their score for it.

For a class, the threshold goes down through the distinct scores. At each, P is the share of true
ones among the images at or above it and R the share of the true ones that are among them. Images of
equal score come in together: no threshold tells them apart, and any order among them would be
made up. So AP depends neither on the order of the images nor on how a sort treats ties.

- ``'area'``: sum of (R - R before) P, as ``sklearn.metrics.average_precision_score``;
- ``'11points'``: mean over r = 0, 0.1, ..., 1 of the best P at recall r or more, 0 where there is
  none, as ``VOCevalcls.m`` of the VOC 2007 development kit. The kit takes images of equal score one
  by one in the order of its list. It compares rounded numbers, and a recall of 3/10 is less than
  the 0.3 in MATLAB's ``0:0.1:1``; here whole numbers are compared, and 3/10 reaches 0.3;
- ``'interpolated'``: sum of (R - R before) (best P at recall R or more), the area that the
  VOC kits measure from 2010 on.

An image that is ignored for a class, because it shows difficult objects of it only, takes no
part in that class: neither hit nor miss, as in the kits.

Axis letters: N images, C classes, B resamples (see bootstrap.py), S segments (class_ranking.py).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .bootstrap import sum_weights
from .class_ranking import ClassRanking, rank_classes

__all__ = [
    'AP_METHODS',
    'average_precision',
    'mean_over_classes',
    'ranked_average_precision',
]

#: Area under the curve as it is, VOC 2007's 11 points, and the interpolated curve of VOC from 2010.
AP_METHODS = ('area', '11points', 'interpolated')


def average_precision(
    scores: Tensor, target: Tensor, ignored: Tensor | None = None, method: str = 'area'
) -> Tensor:
    """Average precision of each class, in percent.

    Args:
        scores: Any real numbers, higher for more certain, float (N, C).
        target: True labels, BoolTensor (N, C).
        ignored: Labels that count neither way, BoolTensor (N, C). Defaults to None: none.
        method: One of ``AP_METHODS``.

    Returns:
        float64 (C,); NaN, undefined, for a class without a true image. See ``mean_over_classes``.

    Raises:
        ValueError: If shapes or types do not fit, a score is NaN, or the method is unknown.
    """
    ranking = rank_classes(scores, target, ignored)
    once = torch.ones(len(scores), 1)
    return ranked_average_precision(ranking, once, [method])[method].squeeze(1)


def mean_over_classes(values: Tensor, skip_absent: bool = False) -> Tensor:
    """Mean AP.

    Args:
        values: AP of each class, (C,) or (C, B), NaN where a class has no true image.
        skip_absent: Leave such classes out. Defaults to False: they count as 0, as in scikit-learn,
            torchmetrics, the host's ``AveragePrecision`` and the VOC 2007 kit.

    Returns:
        Shape () or (B,); 0 if no class is left.
    """
    present = ~values.isnan()
    number = present.sum(0).clamp(min=1) if skip_absent else len(values)
    return values.masked_fill(~present, 0).sum(0) / number


def ranked_average_precision(
    ranking: Iterable[ClassRanking], weights: Tensor, methods: Sequence[str] = AP_METHODS
) -> dict[str, Tensor]:
    """AP of each class in each resample, in percent.

    Args:
        ranking: What ``rank_classes`` gave; a list of it serves any number of calls.
        weights: How often each image counts, float32 (N, B), whole numbers.
        methods: Some of ``AP_METHODS``.

    Returns:
        For each method float64 (C, B), NaN where a class has no true image in a resample.

    Raises:
        ValueError: If a method is unknown.
    """
    unknown = [method for method in methods if method not in AP_METHODS]
    if unknown:
        raise ValueError(f'unknown methods {unknown}: choose from {list(AP_METHODS)}')
    of_classes = [_average_precision(one, weights, methods) for one in ranking]
    return {method: torch.stack([one[method] for one in of_classes]) for method in methods}


def _average_precision(
    ranking: ClassRanking, weights: Tensor, methods: Sequence[str]
) -> dict[str, Tensor]:
    """AP of one class, (B,) for each method."""
    if not len(ranking.true_images):
        return dict.fromkeys(methods, torch.full(weights.shape[1:], torch.nan).double())
    # (B, S): running sums are fast along the last dimension
    hits = sum_weights(ranking.true_images, ranking.true_starts, weights).t().contiguous()
    seen = sum_weights(ranking.images, ranking.starts, weights).t().contiguous().cumsum(1)
    found = hits.cumsum(1)
    true = found[:, -1:]  # (B, 1)
    precision = found / seen.clamp_(min=1)
    best = precision
    if set(methods) != {'area'}:
        best = precision.flip(1).cummax(1).values.flip(1)  # from each segment on
    values = {}
    for method in methods:
        if method == '11points':
            # how many of the recalls 0, 0.1, ..., 1 are reached here for the first time
            reached = (10 * found / true.clamp(min=1)).floor_() + 1
            steps = reached.diff(dim=1, prepend=torch.zeros_like(true)) / 11
        else:
            steps = hits / true.clamp(min=1)
        sums = 100 * (steps * (precision if method == 'area' else best)).sum(1)
        values[method] = sums.masked_fill_(true.squeeze(1) == 0, torch.nan)
    return values
