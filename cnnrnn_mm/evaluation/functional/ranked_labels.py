# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Average precision of each image's ranking of labels, cut after k of them (for MAP@k).

For an image with R true labels, whose ranking has hits at some of the first k places,

    AP@k = (sum over hits, at place i, of (hits up to i) / i) / min(k, R),

so that k hits, or all R where R is less, at the head of the ranking give 100. MAP@k is the mean
over the images that have a true label; for the others no ranking is better than another, and
they are left out.

The CNN-RNN paper (Wang et al., CVPR 2016) reports MAP@10 without a formula. Others divide by R, by
the hits among the first k (torchmetrics' ``RetrievalMAP(top_k=k)``), or count images without a true
label as 0. Where R <= k, min(k, R) and R are the same: with k = 10 that is nearly every image of
COCO.

Axis letters: N images, C classes, B resamples (see bootstrap.py).
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from cnnrnn_mm.errors import UsageError

__all__ = ['average_precision_at_k', 'mean_over_images', 'rank_labels']

#: Most scores that are sorted at once.
MAX_ENTRIES = 2**22


def rank_labels(
    scores: Tensor,
    k: int,
    paths: Sequence[Sequence[int]] | None = None,
    ignored: Tensor | None = None,
) -> Tensor:
    """The first k labels of each image's ranking; among equal scores the lower id comes first.

    Args:
        scores: Float (N, C).
        k: Number of labels, at least 1; all C where it is more.
        paths: N predicted paths of class ids. A path is the head of the ranking, in its own order
            (a repeated label at its first place), and the scores rank the labels behind it.
            Defaults to None: the scores alone rank.
        ignored: Labels that are neither hit nor miss, BoolTensor (N, C). They go to the end, behind
            every label that may be true, where they can not count. Defaults to None: none.

    Returns:
        LongTensor (N, min(k, C)).

    Raises:
        UsageError: If a path holds an id outside [0, C), as END's would be.
    """
    rows = max(MAX_ENTRIES // scores.shape[1], 1)
    ranked = [
        _rank(
            scores[first : first + rows],
            k,
            None if paths is None else paths[first : first + rows],
            None if ignored is None else ignored[first : first + rows],
        )
        for first in range(0, len(scores), rows)
    ]
    return torch.cat(ranked)


def average_precision_at_k(ranked: Tensor, target: Tensor) -> Tensor:
    """AP@k of each image, in percent.

    Args:
        ranked: Distinct class ids, the best first, LongTensor (N, k).
        target: True labels, BoolTensor (N, C); an ignored label is not true.

    Returns:
        float64 (N,); NaN for an image without a true label.
    """
    hit = target.gather(1, ranked).double()
    places = torch.arange(1, ranked.shape[1] + 1)
    best = target.sum(1).clamp(max=ranked.shape[1])
    return 100 * (hit * hit.cumsum(1) / places).sum(1) / best.double()  # 0 / 0 is NaN


def mean_over_images(values: Tensor, weights: Tensor) -> Tensor:
    """MAP@k: the mean over the images that have a value.

    Args:
        values: AP@k of each image (N,), NaN where it has no true label.
        weights: How often each image counts (N, B).

    Returns:
        float64 (B,); 0 if no image is left.
    """
    present = ~values.isnan()
    weights = weights[present].double()
    return values[present].double() @ weights / weights.sum(0).clamp(min=1)


def _rank(
    scores: Tensor, k: int, paths: Sequence[Sequence[int]] | None, ignored: Tensor | None
) -> Tensor:
    order = scores.sort(dim=1, descending=True, stable=True).indices
    if paths is None and ignored is None:
        return order[:, :k]
    # Three tiers, sorted stably: the path by place, the rest as the scores have it, the ignored.
    behind = max((len(path) for path in paths), default=0) if paths is not None else 0
    tier = torch.full(scores.shape, behind)
    if paths is not None:
        lengths = torch.tensor([len(path) for path in paths])
        rows = torch.arange(len(paths)).repeat_interleave(lengths)
        places = torch.arange(len(rows)) - (lengths.cumsum(0) - lengths)[rows]
        labels = torch.tensor(list(chain.from_iterable(paths)), dtype=torch.long)
        _check_labels(labels, scores.shape[1])
        entries = rows * scores.shape[1] + labels
        tier.view(-1).scatter_reduce_(0, entries, places, 'amin')  # a repeated label's first place
    if ignored is not None:
        tier = tier.masked_fill(ignored, behind + 1)
    by_tier = tier.gather(1, order).sort(dim=1, stable=True).indices
    return order.gather(1, by_tier)[:, :k]


def _check_labels(labels: Tensor, num_classes: int) -> None:
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.numel():
        raise UsageError(
            f'label {outside[0].item()} of a path is not in [0, {num_classes}): give paths of '
            'class ids only (END, START and padding are none)'
        )
