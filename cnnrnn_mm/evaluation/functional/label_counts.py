# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Precision, recall and F1 of classes, and their averages, from counts.

Axis letters: N images, C classes (END and START are no classes), B resamples of the images.
``pred`` and ``target`` are boolean matrices of shape (N, C): ``pred[n, c]`` says that class c is in
the set predicted for image n. Every score is in percent, 0 to 100.

The scores are those of section 4.1 of Wang et al., "CNN-RNN: A Unified Framework for Multi-label
Image Classification", CVPR 2016. Its text calls C-F1 a geometrical average, but its tables hold the
harmonic mean of the averaged C-P and C-R, as later work does.

What 0/0 gives:

- precision of a class that is never predicted: 0, and the class stays in the average over all C, as
  in the evaluation code that papers since ML-GCN (CVPR 2019) share;
- recall of a class without positives: 0, and the class stays in the average too, as in scikit-learn
  with ``zero_division=0`` and in the host's ``MultiLabelMetric``. ``skip_absent=True`` leaves such
  classes out of the class averages (C-P, C-R, C-F1, mean-class-F1) instead;
- F1 of a precision and a recall that are both 0: 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .bootstrap import sum_weights

__all__ = [
    'LabelCounts',
    'check_sets',
    'class_average_scores',
    'class_scores',
    'count_labels',
    'overall_scores',
    'percent',
    'weighted_counter',
]


class LabelCounts(NamedTuple):
    """Counts over images for each class: shape (C,), or (C, B) for B resamples of the images.

    Attributes:
        true_positive: Images with the label, and with it predicted.
        false_positive: Images without it, but with it predicted.
        false_negative: Images with it, without it predicted.
    """

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor


def count_labels(pred: Tensor, target: Tensor) -> LabelCounts:
    """Count true positives, false positives and false negatives of each class.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Returns:
        Counts, each a LongTensor of shape (C,).

    Raises:
        TypeError: If either is not boolean.
        ValueError: If the shapes differ, are not (N, C), or hold no image or no class.
    """
    check_sets(pred, target)
    return LabelCounts((pred & target).sum(0), (pred & ~target).sum(0), (~pred & target).sum(0))


def weighted_counter(pred: Tensor, target: Tensor) -> Callable[[Tensor], LabelCounts]:
    """Prepare to count with images that count more than once, or not at all.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Returns:
        A function of weights (N, B), see :func:`draw_weights`, that gives the counts,
        float64 (C, B).
    """
    check_sets(pred, target)
    kinds = []
    for matrix in (pred & target, pred & ~target, ~pred & target):
        images = matrix.t().nonzero()[:, 1]  # class after class
        starts = torch.cat((torch.zeros(1, dtype=torch.long), matrix.sum(0).cumsum(0)))
        kinds.append((images, starts))
    return lambda weights: LabelCounts(*(sum_weights(*kind, weights) for kind in kinds))


def class_scores(counts: LabelCounts) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 of each class, in percent, float64 and shaped like the counts."""
    true_positive, false_positive, false_negative = counts
    precision = percent(true_positive, true_positive + false_positive)
    recall = percent(true_positive, true_positive + false_negative)
    f1 = percent(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    return precision, recall, f1


def class_average_scores(counts: LabelCounts, skip_absent: bool = False) -> dict[str, Tensor]:
    """Scores averaged over classes, in percent.

    Args:
        counts: Counts of each class, (C,) or (C, B).
        skip_absent: Leave classes without positives out of all four averages. Defaults to False:
            they count as 0, so that the average is over all C classes.

    Returns:
        ``C-P`` and ``C-R``, the means of the classes' precision and recall; ``C-F1``, the harmonic
        mean of these two means; ``mean-class-F1``, the mean of the classes' F1, which is another
        number and what the host and scikit-learn call macro F1. Each float64 of shape () or (B,).
        All 0 if no class is left to average over.
    """
    averaged = torch.ones_like(counts.true_positive, dtype=torch.bool)
    if skip_absent:
        averaged = counts.true_positive + counts.false_negative > 0
    number = averaged.sum(0).clamp(min=1)
    precision, recall, f1 = (
        values.masked_fill(~averaged, 0).sum(0) / number for values in class_scores(counts)
    )
    return {
        'C-P': precision,
        'C-R': recall,
        'C-F1': _harmonic_mean(precision, recall),
        'mean-class-F1': f1,
    }


def overall_scores(counts: LabelCounts) -> dict[str, Tensor]:
    """``O-P``, ``O-R`` and ``O-F1`` over the pooled decisions of all classes, in percent.

    O-P is 0 if no label at all is predicted, O-R is 0 if there is no true label at all.

    Args:
        counts: Counts of each class, (C,) or (C, B).

    Returns:
        Each float64 of shape () or (B,).
    """
    true_positive, false_positive, false_negative = (count.sum(0) for count in counts)
    precision = percent(true_positive, true_positive + false_positive)
    recall = percent(true_positive, true_positive + false_negative)
    return {'O-P': precision, 'O-R': recall, 'O-F1': _harmonic_mean(precision, recall)}


def check_sets(pred: Tensor, target: Tensor) -> None:
    """Refuse what is not a pair of boolean matrices (N, C)."""
    for name, matrix in (('pred', pred), ('target', target)):
        if matrix.dtype != torch.bool:
            raise TypeError(f'{name} is {matrix.dtype}: give a boolean matrix, see labels_to_sets')
    if pred.shape != target.shape or pred.ndim != 2 or pred.numel() == 0:
        raise ValueError(
            f'pred {tuple(pred.shape)} and target {tuple(target.shape)} must have one shape (N, C) '
            'with at least one image and one class'
        )


def percent(part: Tensor, whole: Tensor, if_zero: float = 0.0) -> Tensor:
    """100 part / whole in float64, and ``if_zero`` where whole is 0."""
    ratio = 100.0 * part.double() / whole.clamp(min=1).double()
    return ratio.masked_fill(whole == 0, if_zero)


def _harmonic_mean(first: Tensor, second: Tensor) -> Tensor:
    total = first + second
    return 2 * first * second / total.masked_fill(total == 0, 1.0)
