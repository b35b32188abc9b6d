# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .precomputed_features import PrecomputedFeatures

__all__ = ['PrecomputedFeatures']
