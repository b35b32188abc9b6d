# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .path_tta import PathTTA
from .view_mixture import mix_views

__all__ = ['PathTTA', 'mix_views']
