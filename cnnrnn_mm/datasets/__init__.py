# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .cached_features import CachedFeatures, load_features
from .coco import CocoMultiLabel
from .csv_multi_label import CsvMultiLabel
from .feature_dataset import FeatureDataset
from .feature_writer import FeatureWriter
from .nus_wide import NUSWide
from .readable_images import ReadableImages
from .transforms import LoadImage, LoadProposals, OrderLabels, WithBoxes
from .voc import VOCMultiLabel

__all__ = [
    'CachedFeatures',
    'CocoMultiLabel',
    'CsvMultiLabel',
    'FeatureDataset',
    'FeatureWriter',
    'LoadImage',
    'LoadProposals',
    'NUSWide',
    'OrderLabels',
    'ReadableImages',
    'VOCMultiLabel',
    'WithBoxes',
    'load_features',
]
