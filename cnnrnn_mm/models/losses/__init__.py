# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .sequence_loss import SequenceLoss

__all__ = ['SequenceLoss']
