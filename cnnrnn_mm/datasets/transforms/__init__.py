# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .load_image import LoadImage
from .order_labels import OrderLabels

__all__ = ['LoadImage', 'OrderLabels']
