# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Scores of predicted label sets against true ones, as pure functions.

Axis letters: N images, C classes (END and START are no classes), B resamples of the images.
``pred`` and ``target`` are boolean matrices of shape (N, C): ``pred[n, c]`` says that class c is in
the set predicted for image n. Every score is in percent, 0 to 100; set sizes are in labels.

What 0/0 gives: example F1 and Jaccard of an empty set predicted for an empty one are 100, a perfect
answer. For scores of classes see label_counts.py.
"""

import torch
from torch import Tensor

from .bootstrap import Statistic
from .label_counts import (
    check_sets,
    class_average_scores,
    overall_scores,
    percent,
    weighted_counter,
)

__all__ = ['example_scores', 'label_set_scores', 'label_set_statistic', 'set_size_scores']


def example_scores(pred: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Scores of each image's set, in percent; what is reported is their mean over images.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Returns:
        ``example-F1``; ``Jaccard`` (intersection over union); ``exact-match`` (100 where the set is
        exactly the true one, else 0); each float64 of shape (N,). An empty set predicted for an
        empty one counts 100 in all three.
    """
    check_sets(pred, target)
    common, union = (pred & target).sum(1), (pred | target).sum(1)
    sizes = pred.sum(1) + target.sum(1)
    return {
        'example-F1': percent(2 * common, sizes, if_zero=100.0),
        'Jaccard': percent(common, union, if_zero=100.0),
        'exact-match': 100.0 * (pred == target).all(1).double(),
    }


def set_size_scores(pred: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Sizes of the sets, in labels; what is reported is their mean over images.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Returns:
        ``set-size`` and ``gt-set-size``, of the predicted and of the true set;
        ``set-size-error``, the absolute difference; each float64 of shape (N,).
    """
    check_sets(pred, target)
    pred_size, target_size = pred.sum(1).double(), target.sum(1).double()
    return {
        'set-size': pred_size,
        'gt-set-size': target_size,
        'set-size-error': (pred_size - target_size).abs(),
    }


def label_set_statistic(
    pred: Tensor,
    target: Tensor,
    repeats: Tensor | None = None,
    lengths: Tensor | None = None,
    skip_absent: bool = False,
) -> Statistic:
    """All scores of a split, as a function of how often each image counts.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).
        repeats: For each image how many labels of its path stand earlier in the path, too, (N,).
            Defaults to None: the two scores of repeats are left out.
        lengths: Labels in each path, repeated ones included, (N,); goes with ``repeats``.
        skip_absent: See ``class_average_scores``.

    Returns:
        A function of weights (N, B), see :func:`draw_weights`, whose columns have the sum N.
        It gives float64 (B,) for each name in ``class_average_scores``, ``overall_scores``,
        ``example_scores``, ``set_size_scores``, and ``repeated``, the share of paths with a
        repeated label, and ``repeated-labels``, the share of labels that are repeated ones (0 if
        there is no label at all), in percent.

    Raises:
        ValueError: If ``repeats`` or ``lengths`` comes without the other.
    """
    if (repeats is None) != (lengths is None):
        raise ValueError('repeats and lengths belong together: give both or neither')
    count = weighted_counter(pred, target)
    of_images = {**example_scores(pred, target), **set_size_scores(pred, target)}
    if repeats is not None and lengths is not None:
        of_images['repeated'] = 100.0 * (repeats > 0).double()
        of_images['repeats'], of_images['lengths'] = repeats.double(), lengths.double()
    values = torch.stack(list(of_images.values()))  # (scores, N)

    def scores(weights: Tensor) -> dict[str, Tensor]:
        sums = dict(zip(of_images, values @ weights.double(), strict=True))
        repeated = {}
        if 'repeats' in sums:
            repeated['repeated-labels'] = percent(sums.pop('repeats'), sums.pop('lengths'))
        counts = count(weights)
        return {
            **class_average_scores(counts, skip_absent),
            **overall_scores(counts),
            **{name: total / len(pred) for name, total in sums.items()},
            **repeated,
        }

    return scores


def label_set_scores(pred: Tensor, target: Tensor, skip_absent: bool = False) -> dict[str, float]:
    """The scores of a split, each image counted once.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).
        skip_absent: See ``class_average_scores``.

    Returns:
        The scores of :func:`label_set_statistic` by name.
    """
    scores = label_set_statistic(pred, target, skip_absent=skip_absent)(torch.ones(len(pred), 1))
    return {name: value.item() for name, value in scores.items()}
