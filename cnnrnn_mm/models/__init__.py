# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .backbones import PrecomputedFeatures
from .decoders import LabelDecoder
from .frozen import Frozen
from .heads import CNNRNNHead
from .losses import SequenceLoss
from .necks import GlobalMaxPooling, VGGFullyConnected
from .postprocessors import BeamSearchPostprocessor, BestFirstPostprocessor
from .vocabulary import Vocabulary

__all__ = [
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'CNNRNNHead',
    'Frozen',
    'GlobalMaxPooling',
    'LabelDecoder',
    'PrecomputedFeatures',
    'SequenceLoss',
    'VGGFullyConnected',
    'Vocabulary',
]
