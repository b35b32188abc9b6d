# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""CNN-RNN multi-label image classification for MMPretrain."""

from .version import __version__

__all__ = ['__version__']
