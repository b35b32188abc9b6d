# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .label_decoder import LabelDecoder
from .recurrent import RECURRENT_LAYERS, GRULayer, LSTMLayer, NoRecurrence, ReLULSTMLayer

__all__ = [
    'RECURRENT_LAYERS',
    'GRULayer',
    'LSTMLayer',
    'LabelDecoder',
    'NoRecurrence',
    'ReLULSTMLayer',
]
