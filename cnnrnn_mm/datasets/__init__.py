# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .readable_images import ReadableImages
from .transforms import LoadImage, OrderLabels

__all__ = ['LoadImage', 'OrderLabels', 'ReadableImages']
