# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Scores of predicted label sets against true ones, as pure functions.

Axis letters: N images, C classes (END and START are no classes). ``pred`` and ``target`` are
boolean matrices of shape (N, C): ``pred[n, c]`` says that class c is in the set predicted for image
n. Every score is in percent, 0 to 100; set sizes are in labels.

The per-class and overall scores are those of section 4.1 of Wang et al., "CNN-RNN: A Unified
Framework for Multi-label Image Classification", CVPR 2016. Its text calls C-F1 a geometrical
average, but its tables hold the harmonic mean of the averaged C-P and C-R, as later work
does.

What 0/0 gives:

- precision of a class that is never predicted: 0, and the class stays in the average over all C, as
  in the evaluation code that papers since ML-GCN (CVPR 2019) share;
- recall of a class without positives: 0, and the class stays in the average too, as in scikit-learn
  with ``zero_division=0`` and in the host's ``MultiLabelMetric``. ``skip_absent=True`` leaves such
  classes out of the class averages (C-P, C-R, C-F1, mean-class-F1) instead;
- F1 of a precision and a recall that are both 0: 0;
- example F1 and Jaccard of an empty set predicted for an empty one: 100, a perfect answer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cnnrnn_mm.errors import UsageError


class LabelCounts(NamedTuple):
    """Counts over N images, each a LongTensor of shape (C,)."""

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor


def labels_to_sets(labels: Sequence[Sequence[int] | Tensor], num_classes: int) -> Tensor:
    """Turn N sequences of class ids into a boolean matrix; order and repeats do not matter.

    Args:
        labels: N sequences of class ids in [0, C), each possibly empty.
        num_classes: C.

    Returns:
        BoolTensor of shape (N, C).

    Raises:
        UsageError: If an id lies outside [0, C), as END's would.
    """
    sets = torch.zeros(len(labels), num_classes, dtype=torch.bool)
    for row, ids in zip(sets, labels, strict=True):
        ids = torch.as_tensor(ids, dtype=torch.long).cpu().flatten()
        outside = ids[(ids < 0) | (ids >= num_classes)]
        if outside.numel():
            raise UsageError(
                f'label {outside[0].item()} is not in [0, {num_classes}): give ids of classes '
                'only (END, START and padding are none), or the right num_classes'
            )
        row[ids] = True
    return sets


def topk_labels(scores: Tensor, k: int) -> Tensor:
    """Ids of the k best classes; among equal scores the lower id comes first, on every device.

    Args:
        scores: Float tensor of shape (..., C).
        k: Number of labels, 1 to C.

    Returns:
        LongTensor of shape (..., k), best first.

    Raises:
        UsageError: If k is not in [1, C].
    """
    if not 1 <= k <= scores.shape[-1]:
        raise UsageError(
            f'topk is {k}, but the scores have {scores.shape[-1]} classes: use 1 to that'
        )
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def repeats_label(path: Sequence[int] | Tensor) -> bool:
    """Whether a path of class ids holds some label more than once."""
    ids = torch.as_tensor(path, dtype=torch.long).flatten()
    return ids.unique().numel() < ids.numel()


def count_labels(pred: Tensor, target: Tensor) -> LabelCounts:
    """Count true positives, false positives and false negatives of each class.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Raises:
        TypeError: If either is not boolean.
        ValueError: If the shapes differ, are not (N, C), or hold no image or no class.
    """
    _check(pred, target)
    return LabelCounts((pred & target).sum(0), (pred & ~target).sum(0), (~pred & target).sum(0))


def class_scores(counts: LabelCounts) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 of each class, in percent, each a float64 tensor of shape (C,)."""
    true_positive, false_positive, false_negative = counts
    precision = _percent(true_positive, true_positive + false_positive)
    recall = _percent(true_positive, true_positive + false_negative)
    f1 = _percent(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    return precision, recall, f1


def class_average_scores(counts: LabelCounts, skip_absent: bool = False) -> dict[str, float]:
    """Scores averaged over classes, in percent.

    Args:
        counts: Counts of each class.
        skip_absent: Leave classes without positives out of all four averages. Defaults to False:
            they count as 0, so that the average is over all C classes.

    Returns:
        ``C-P`` and ``C-R``, the means of the classes' precision and recall; ``C-F1``, the harmonic
        mean of these two means; ``mean-class-F1``, the mean of the classes' F1, which is another
        number and what the host and scikit-learn call macro F1. All 0 if no class is left to
        average over.
    """
    precision, recall, f1 = class_scores(counts)
    if skip_absent:
        present = counts.true_positive + counts.false_negative > 0  # (C,)
        precision, recall, f1 = precision[present], recall[present], f1[present]
    mean_precision, mean_recall = _mean(precision), _mean(recall)
    return {
        'C-P': mean_precision,
        'C-R': mean_recall,
        'C-F1': _harmonic_mean(mean_precision, mean_recall),
        'mean-class-F1': _mean(f1),
    }


def overall_scores(counts: LabelCounts) -> dict[str, float]:
    """``O-P``, ``O-R`` and ``O-F1`` over the pooled decisions of all classes, in percent.

    O-P is 0 if no label at all is predicted, O-R is 0 if there is no true label at all.
    """
    true_positive, false_positive, false_negative = (count.sum() for count in counts)
    precision = _percent(true_positive, true_positive + false_positive).item()
    recall = _percent(true_positive, true_positive + false_negative).item()
    return {'O-P': precision, 'O-R': recall, 'O-F1': _harmonic_mean(precision, recall)}


def example_scores(pred: Tensor, target: Tensor) -> dict[str, float]:
    """Scores of each image's set, averaged over the N images, in percent.

    Args:
        pred: BoolTensor of shape (N, C).
        target: BoolTensor of shape (N, C).

    Returns:
        ``example-F1``; ``Jaccard`` (intersection over union); ``exact-match`` (the share of images
        whose set is exactly the true one). An empty set predicted for an empty one counts 100 in
        all three.
    """
    _check(pred, target)
    common, union = (pred & target).sum(1), (pred | target).sum(1)  # (N,)
    sizes = pred.sum(1) + target.sum(1)  # (N,)
    return {
        'example-F1': _mean(_percent(2 * common, sizes, if_zero=100.0)),
        'Jaccard': _mean(_percent(common, union, if_zero=100.0)),
        'exact-match': 100.0 * (pred == target).all(1).double().mean().item(),
    }


def set_size_scores(pred: Tensor, target: Tensor) -> dict[str, float]:
    """Mean sizes of the sets, in labels.

    Returns:
        ``set-size`` and ``gt-set-size``, the mean sizes of the predicted and of the true sets;
        ``set-size-error``, the mean over images of the absolute difference.
    """
    _check(pred, target)
    pred_size, target_size = pred.sum(1).double(), target.sum(1).double()  # (N,)
    return {
        'set-size': pred_size.mean().item(),
        'gt-set-size': target_size.mean().item(),
        'set-size-error': (pred_size - target_size).abs().mean().item(),
    }


def label_set_scores(pred: Tensor, target: Tensor, skip_absent: bool = False) -> dict[str, float]:
    """All of the above under their names; arguments as there."""
    counts = count_labels(pred, target)
    return {
        **class_average_scores(counts, skip_absent),
        **overall_scores(counts),
        **example_scores(pred, target),
        **set_size_scores(pred, target),
    }


def _check(pred: Tensor, target: Tensor) -> None:
    for name, matrix in (('pred', pred), ('target', target)):
        if matrix.dtype != torch.bool:
            raise TypeError(f'{name} is {matrix.dtype}: give a boolean matrix, see labels_to_sets')
    if pred.shape != target.shape or pred.ndim != 2 or pred.numel() == 0:
        raise ValueError(
            f'pred {tuple(pred.shape)} and target {tuple(target.shape)} must have one shape (N, C) '
            'with at least one image and one class'
        )


def _percent(part: Tensor, whole: Tensor, if_zero: float = 0.0) -> Tensor:
    """100 part / whole in float64, and ``if_zero`` where whole is 0."""
    ratio = 100.0 * part.double() / whole.clamp(min=1).double()
    return ratio.masked_fill(whole == 0, if_zero)


def _mean(values: Tensor) -> float:
    return values.mean().item() if values.numel() else 0.0


def _harmonic_mean(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second > 0 else 0.0
