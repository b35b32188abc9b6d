# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The scores of each class side by side. Axis letters: N images, C classes."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from .average_precision import average_precision
from .label_counts import class_scores, count_labels

__all__ = ['ClassRow', 'class_table']


class ClassRow(NamedTuple):
    """One class.

    Attributes:
        class_id: Its number.
        name: Its name; None where it is not known.
        positives: Images that have it.
        predicted: Images for which it is predicted.
        precision: In percent; 0 if it is never predicted.
        recall: In percent; 0 if it has no positives.
        f1: In percent.
        ap: Area under the precision-recall curve in percent; None without positives or scores.
        ap_11points: The 11-point average precision of VOC 2007, likewise.
    """

    class_id: int
    name: str | None
    positives: int
    predicted: int
    precision: float
    recall: float
    f1: float
    ap: float | None
    ap_11points: float | None


def class_table(
    pred: Tensor,
    target: Tensor,
    scores: Tensor | None = None,
    ignored: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> list[ClassRow]:
    """Score each class.

    Args:
        pred: Predicted sets, BoolTensor (N, C).
        target: True sets, BoolTensor (N, C).
        scores: Scores to rank the images by, float (N, C). Defaults to None: no average precision.
        ignored: Labels that count neither way, BoolTensor (N, C). Defaults to None: none.
        names: C names. Defaults to None: not known.

    Returns:
        C rows, in the order of the class ids.
    """
    if ignored is not None:
        pred, target = pred & ~ignored, target & ~ignored
    num_classes = target.shape[1]
    counts = count_labels(pred, target)
    ranked = [[None] * num_classes] * 2
    if scores is not None:
        ranked = [
            [None if ap != ap else ap for ap in values.tolist()]  # NaN: no positives
            for values in (
                average_precision(scores, target, ignored, method)
                for method in ('area', '11points')
            )
        ]
    columns = (
        range(num_classes),
        [None] * num_classes if names is None else names,
        target.sum(0).tolist(),
        pred.sum(0).tolist(),
        *(values.tolist() for values in class_scores(counts)),
        *ranked,
    )
    return [ClassRow(*row) for row in zip(*columns, strict=True)]
