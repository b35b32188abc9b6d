# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .order_labels import OrderLabels

__all__ = ['OrderLabels']
