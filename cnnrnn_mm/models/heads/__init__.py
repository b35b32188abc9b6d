# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .cnn_rnn_head import CNNRNNHead
from .hybrid_head import HybridHead
from .linear_label_head import LinearLabelHead
from .rlsd_head import RLSDHead

__all__ = ['CNNRNNHead', 'HybridHead', 'LinearLabelHead', 'RLSDHead']
