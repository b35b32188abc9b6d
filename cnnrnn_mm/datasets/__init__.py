# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .cached_features import CachedFeatures, load_features, save_features
from .feature_dataset import FeatureDataset
from .readable_images import ReadableImages
from .transforms import LoadImage, OrderLabels

__all__ = [
    'CachedFeatures',
    'FeatureDataset',
    'LoadImage',
    'OrderLabels',
    'ReadableImages',
    'load_features',
    'save_features',
]
