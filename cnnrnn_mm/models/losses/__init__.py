# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .multi_label_softmax_loss import MultiLabelSoftmaxLoss
from .sequence_loss import SequenceLoss
from .warp_loss import WARPLoss

__all__ = ['MultiLabelSoftmaxLoss', 'SequenceLoss', 'WARPLoss']
