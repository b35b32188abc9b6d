# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Other ways to search the same decoder for its most probable label path.

Each is ``(decoder, image (N, D), beam_size) -> (paths, log_probs (N,))`` for the best path of each
image: ``paths`` is a list of N label lists. The decoder is in evaluation mode and ``image`` comes
from its ``project_image``. ``baselines.hugging_face`` is imported apart: it needs transformers.
"""

from .loop_search import loop_over_images, loop_over_paths
from .textbook_search import textbook_search

__all__ = ['loop_over_images', 'loop_over_paths', 'textbook_search']
