# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Search for probable label paths. Pure torch: knows no module and no part of the MM stack."""

from .beam_search import beam_search, check_options
from .types import SearchResult, State, StepFunction

__all__ = ['SearchResult', 'State', 'StepFunction', 'beam_search', 'check_options']
