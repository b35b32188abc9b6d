# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .global_max_pooling import GlobalMaxPooling
from .region_localization_neck import RegionLocalizationNeck
from .vgg_fully_connected import VGGFullyConnected

__all__ = ['GlobalMaxPooling', 'RegionLocalizationNeck', 'VGGFullyConnected']
