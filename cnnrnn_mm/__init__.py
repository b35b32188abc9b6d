# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""CNN-RNN multi-label image classification for MMPretrain."""

from .model_hub import register_models
from .version import __version__

__all__ = ['__version__']

register_models()
