# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .aligned_sequence_loss import AlignedSequenceLoss
from .label_set_loss import LabelSetLoss
from .multi_label_softmax_loss import MultiLabelSoftmaxLoss
from .region_proposal_loss import RegionProposalLoss
from .sequence_loss import SequenceLoss
from .warp_loss import WARPLoss

__all__ = [
    'AlignedSequenceLoss',
    'LabelSetLoss',
    'MultiLabelSoftmaxLoss',
    'RegionProposalLoss',
    'SequenceLoss',
    'WARPLoss',
]
