# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Search for probable label paths. Pure torch: knows no module and no part of the MM stack."""

from .beam_search import beam_search, check_sizes
from .best_first_search import best_first_search
from .constraints import Constraints
from .decisions import (
    best_threshold,
    expected_f1_sets,
    expected_f1_sets_independent,
    threshold_sets,
)
from .fixed_beam_search import FixedBeamSearch
from .path_samples import PathSamples
from .prefix_trie import PrefixTrie
from .sampling import sample_paths
from .set_probability import set_log_probs
from .types import NonFiniteScoresError, SearchResult, State, StepFunction

__all__ = [
    'Constraints',
    'FixedBeamSearch',
    'NonFiniteScoresError',
    'PathSamples',
    'PrefixTrie',
    'SearchResult',
    'State',
    'StepFunction',
    'beam_search',
    'best_first_search',
    'best_threshold',
    'check_sizes',
    'expected_f1_sets',
    'expected_f1_sets_independent',
    'sample_paths',
    'set_log_probs',
    'threshold_sets',
]
