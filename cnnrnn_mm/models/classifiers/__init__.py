# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .feature_classifier import FeatureClassifier

__all__ = ['FeatureClassifier']
