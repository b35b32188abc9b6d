# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .base_decoder import BaseDecoder
from .batch_scorer import BatchScorer
from .chain_decoder import ChainDecoder
from .label_decoder import LabelDecoder
from .path_decoder import PathDecoder
from .recurrent import RECURRENT_LAYERS, GRULayer, LSTMLayer, NoRecurrence, ReLULSTMLayer
from .region_decoder import RegionDecoder
from .skip_decoder import SkipDecoder

__all__ = [
    'RECURRENT_LAYERS',
    'BaseDecoder',
    'BatchScorer',
    'ChainDecoder',
    'GRULayer',
    'LSTMLayer',
    'LabelDecoder',
    'NoRecurrence',
    'PathDecoder',
    'ReLULSTMLayer',
    'RegionDecoder',
    'SkipDecoder',
]
