# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .classifiers import FeatureClassifier
from .decoders import ChainDecoder, LabelDecoder, SkipDecoder
from .frozen import Frozen
from .heads import CNNRNNHead, LinearLabelHead
from .losses import (
    AlignedSequenceLoss,
    LabelSetLoss,
    MultiLabelSoftmaxLoss,
    SequenceLoss,
    WARPLoss,
)
from .necks import GlobalMaxPooling, VGGFullyConnected
from .postprocessors import (
    BeamSearchPostprocessor,
    BestFirstPostprocessor,
    UnmaskedGreedyPostprocessor,
)
from .vocabulary import Vocabulary

__all__ = [
    'AlignedSequenceLoss',
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'CNNRNNHead',
    'ChainDecoder',
    'FeatureClassifier',
    'Frozen',
    'GlobalMaxPooling',
    'LabelDecoder',
    'LabelSetLoss',
    'LinearLabelHead',
    'MultiLabelSoftmaxLoss',
    'SequenceLoss',
    'SkipDecoder',
    'UnmaskedGreedyPostprocessor',
    'VGGFullyConnected',
    'Vocabulary',
    'WARPLoss',
]
