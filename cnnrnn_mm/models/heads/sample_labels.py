# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a data sample says of its labels, for training on label lists."""

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError

__all__ = ['ignored_of', 'labels_of']


def labels_of(sample: DataSample) -> Tensor:
    """``gt_label``, unless the batch was mixed: a path has no fractional labels."""
    if 'gt_label' not in sample:
        raise UsageError(
            "a data sample has no 'gt_label': CNNRNNHead trains on label lists, so let the "
            "dataset give 'gt_label' rather than 'gt_score'"
        )
    if 'gt_score' in sample and bool(((sample.gt_score != 0) & (sample.gt_score != 1)).any()):
        raise UsageError(
            "'gt_score' holds fractional labels: CNNRNNHead can't learn mixed images, remove "
            'Mixup and CutMix from train_cfg.augments'
        )
    return sample.gt_label


def ignored_of(sample: DataSample, labels: Tensor) -> Tensor:
    """The ids of ``gt_label_difficult`` that ``labels`` lacks."""
    if 'gt_label_difficult' not in sample:
        raise UsageError(
            'ignore_difficult=True needs gt_label_difficult: add it to meta_keys of PackInputs'
        )
    difficult = torch.as_tensor(sample.gt_label_difficult, dtype=torch.long)
    difficult = difficult.to(labels.device).flatten()
    return difficult[~torch.isin(difficult, labels)]
