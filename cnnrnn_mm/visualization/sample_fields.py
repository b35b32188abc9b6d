# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What pictures need to know of one DataSample. Axis letter: C classes."""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample

from ..errors import UsageError
from .label_style import PLAIN, RIGHT, WRONG, Verdict
from .region_boxes import RegionMark

__all__ = [
    'class_name',
    'find_marks',
    'judge',
    'predicted_labels',
    'probabilities',
    'to_list',
    'true_labels',
]


def find_marks(data_sample: DataSample, draw_gt: bool = True) -> list[RegionMark]:
    """The regions of the predicted labels, numbered from 1 in the order of ``pred_label``.

    Args:
        data_sample: With ``pred_label`` (n,) and ``pred_label_regions`` (n, 4), shares of width and
            height; without them there is no region.
        draw_gt: Judge the labels by the true ones.

    Raises:
        UsageError: If there is not one region for each label.
    """
    if 'pred_label' not in data_sample or 'pred_label_regions' not in data_sample:
        return []
    labels = to_list(data_sample.pred_label)
    boxes = torch.as_tensor(data_sample.pred_label_regions).detach().float().cpu()
    if tuple(boxes.shape) != (len(labels), 4):
        raise UsageError(
            f'pred_label_regions have shape {tuple(boxes.shape)} for {len(labels)} predicted '
            f'labels: give ({len(labels)}, 4), or set draw_regions=False'
        )
    truth = true_labels(data_sample) if draw_gt else None
    pairs = enumerate(zip(labels, boxes.tolist(), strict=True), start=1)
    return [RegionMark(number, tuple(box), judge(label, truth)) for number, (label, box) in pairs]


def true_labels(data_sample: DataSample) -> list[int] | None:
    """Ids of the true classes, each once; None if the sample does not say."""
    if 'gt_label' in data_sample:
        return list(dict.fromkeys(to_list(data_sample.gt_label)))
    if 'gt_score' in data_sample:
        return torch.as_tensor(data_sample.gt_score).ge(0.5).nonzero().flatten().tolist()
    return None


def predicted_labels(data_sample: DataSample) -> list[int] | None:
    """Ids of the predicted classes in path order; None if the sample holds no prediction."""
    if 'pred_label' in data_sample:
        return to_list(data_sample.pred_label)
    if data_sample.get('pred_paths', None):
        return list(data_sample.pred_paths[0])
    return None


def judge(label: int, truth: list[int] | None) -> Verdict:
    """How a predicted label looks beside these true ones; None knows nothing."""
    if truth is None:
        return PLAIN
    return RIGHT if label in truth else WRONG


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """The name of a class, or its id where there is none."""
    if classes is None or not 0 <= label < len(classes):
        return str(label)
    return str(classes[label])


def to_list(values: torch.Tensor | Sequence | None) -> list:
    """A field's values; none where the field is missing."""
    return [] if values is None else torch.as_tensor(values).detach().flatten().tolist()


def probabilities(data_sample: DataSample, field: str) -> list[float]:
    """The values of a field of natural logs."""
    return torch.tensor(to_list(data_sample.get(field, None))).exp().tolist()
