# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .label_path_visualizer import LabelPathVisualizer

__all__ = ['LabelPathVisualizer']
