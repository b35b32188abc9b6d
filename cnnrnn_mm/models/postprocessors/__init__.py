# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .beam_search_postprocessor import BeamSearchPostprocessor

__all__ = ['BeamSearchPostprocessor']
