# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .beam_search_postprocessor import BeamSearchPostprocessor
from .best_first_postprocessor import BestFirstPostprocessor
from .decisions import ExpectedF1Decision, PathDecision, SetDecision, ThresholdDecision
from .path_fields import label_scores
from .path_postprocessor import PathPostprocessor
from .unmasked_greedy_postprocessor import UnmaskedGreedyPostprocessor

__all__ = [
    'BeamSearchPostprocessor',
    'BestFirstPostprocessor',
    'ExpectedF1Decision',
    'PathDecision',
    'PathPostprocessor',
    'SetDecision',
    'ThresholdDecision',
    'UnmaskedGreedyPostprocessor',
    'label_scores',
]
