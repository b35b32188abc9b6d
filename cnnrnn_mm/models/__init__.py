# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .decoders import LabelDecoder
from .frozen import Frozen
from .heads import CNNRNNHead
from .losses import SequenceLoss
from .necks import GlobalMaxPooling, VGGFullyConnected
from .postprocessors import BeamSearchPostprocessor
from .vocabulary import Vocabulary

__all__ = [
    'BeamSearchPostprocessor',
    'CNNRNNHead',
    'Frozen',
    'GlobalMaxPooling',
    'LabelDecoder',
    'SequenceLoss',
    'VGGFullyConnected',
    'Vocabulary',
]
