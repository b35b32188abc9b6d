# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .feature_classifier import FeatureClassifier
from .region_classifier import FeatureRegionClassifier, RegionClassifier

__all__ = ['FeatureClassifier', 'FeatureRegionClassifier', 'RegionClassifier']
