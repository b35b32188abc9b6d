# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .cnn_rnn_head import CNNRNNHead
from .linear_label_head import LinearLabelHead
from .rlsd_head import RLSDHead

__all__ = ['CNNRNNHead', 'LinearLabelHead', 'RLSDHead']
