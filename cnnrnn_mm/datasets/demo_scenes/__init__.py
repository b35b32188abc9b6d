# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .figures import ReaderFigures, best_figures, mean_average_precision
from .generate import DEFAULT_SPLITS, generate_demo_scenes
from .law import CLASSES, is_legal, sample_scene, set_probabilities

__all__ = [
    'CLASSES',
    'DEFAULT_SPLITS',
    'ReaderFigures',
    'best_figures',
    'generate_demo_scenes',
    'is_legal',
    'mean_average_precision',
    'sample_scene',
    'set_probabilities',
]
