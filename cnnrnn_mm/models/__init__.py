# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .classifiers import FeatureClassifier, FeatureRegionClassifier, RegionClassifier
from .decoders import ChainDecoder, LabelDecoder, RegionDecoder, SkipDecoder
from .frozen import Frozen
from .heads import CNNRNNHead, HybridHead, LinearLabelHead, RLSDHead
from .losses import (
    AlignedSequenceLoss,
    LabelSetLoss,
    MultiLabelSoftmaxLoss,
    RegionProposalLoss,
    SequenceLoss,
    WARPLoss,
)
from .necks import GlobalMaxPooling, RegionLocalizationNeck, VGGFullyConnected
from .postprocessors import (
    BeamSearchPostprocessor,
    BestFirstPostprocessor,
    ExpectedF1Decision,
    PathDecision,
    SetDecision,
    ThresholdDecision,
    UnmaskedGreedyPostprocessor,
)
from .proposals import GivenProposals, GridProposals, ProposalNetwork, ProposalSource
from .tta import PathTTA
from .vocabulary import Vocabulary

__all__ = [
    'AlignedSequenceLoss',
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'CNNRNNHead',
    'ChainDecoder',
    'ExpectedF1Decision',
    'FeatureClassifier',
    'FeatureRegionClassifier',
    'Frozen',
    'GivenProposals',
    'GlobalMaxPooling',
    'GridProposals',
    'HybridHead',
    'LabelDecoder',
    'LabelSetLoss',
    'LinearLabelHead',
    'MultiLabelSoftmaxLoss',
    'PathDecision',
    'PathTTA',
    'ProposalNetwork',
    'ProposalSource',
    'RegionLocalizationNeck',
    'RegionProposalLoss',
    'RLSDHead',
    'RegionClassifier',
    'RegionDecoder',
    'SequenceLoss',
    'SkipDecoder',
    'SetDecision',
    'ThresholdDecision',
    'UnmaskedGreedyPostprocessor',
    'VGGFullyConnected',
    'Vocabulary',
    'WARPLoss',
]
