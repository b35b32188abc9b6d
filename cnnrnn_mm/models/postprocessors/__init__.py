# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .beam_search_postprocessor import BeamSearchPostprocessor
from .best_first_postprocessor import BestFirstPostprocessor
from .path_postprocessor import PathPostprocessor, label_scores

__all__ = ['BeamSearchPostprocessor', 'BestFirstPostprocessor', 'PathPostprocessor', 'label_scores']
