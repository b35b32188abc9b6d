# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .label_path_visualizer import LabelPathVisualizer
from .path_tree_panel import draw_path_tree

__all__ = ['LabelPathVisualizer', 'draw_path_tree']
