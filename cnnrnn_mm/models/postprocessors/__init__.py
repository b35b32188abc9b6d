# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .beam_search_postprocessor import BeamSearchPostprocessor
from .best_first_postprocessor import BestFirstPostprocessor
from .path_postprocessor import PathPostprocessor, label_scores
from .unmasked_greedy_postprocessor import UnmaskedGreedyPostprocessor

__all__ = [
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'PathPostprocessor',
    'UnmaskedGreedyPostprocessor',
    'label_scores',
]
