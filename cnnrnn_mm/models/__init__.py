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
    ExpectedF1Decision,
    PathDecision,
    SetDecision,
    ThresholdDecision,
    UnmaskedGreedyPostprocessor,
)
from .vocabulary import Vocabulary

__all__ = [
    'AlignedSequenceLoss',
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'CNNRNNHead',
    'ChainDecoder',
    'ExpectedF1Decision',
    'FeatureClassifier',
    'Frozen',
    'GlobalMaxPooling',
    'LabelDecoder',
    'LabelSetLoss',
    'LinearLabelHead',
    'MultiLabelSoftmaxLoss',
    'PathDecision',
    'SequenceLoss',
    'SkipDecoder',
    'SetDecision',
    'ThresholdDecision',
    'UnmaskedGreedyPostprocessor',
    'VGGFullyConnected',
    'Vocabulary',
    'WARPLoss',
]
