# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a loss may ask of the model.

Axis letters: N images, S sequences, T steps, M tokens that count, V = C + 1 (labels and END).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...search import State, StepFunction
from .base_decoder import BaseDecoder

__all__ = ['BatchScorer']


@dataclass(frozen=True)
class BatchScorer:
    """A decoder that has seen the images of a batch.

    Attributes:
        decoder: The decoder.
        image: (N, ...) that it made of them.
        share_prefixes: One recurrent step for each distinct prefix instead of one padded call.
    """

    decoder: BaseDecoder
    image: Tensor
    share_prefixes: bool = True

    def score(self, tokens: Tensor, valid: Tensor, images: Tensor | None = None) -> Tensor:
        """Score what follows each token that counts.

        Args:
            tokens: (S, T) int64, the inputs; a sequence starts with START.
            valid: (S, T) bool, False for padding, which may only stand behind.
            images: (S,) int64, which image each sequence belongs to; None for one sequence each.

        Returns:
            (M, V), not normalised, row by row.
        """
        image = self.image
        if images is not None:  # an embedding's gradient takes less time than that of an index
            image = functional.embedding(images, image.flatten(1)).unflatten(-1, image.shape[1:])
        if self.share_prefixes:
            return self.decoder.score_sequences(image, tokens, valid)
        return self.decoder(image, tokens)[0][valid]

    @torch.no_grad()
    def begin(self) -> tuple[StepFunction, State]:
        """A step function and its state before START, to let the model go its own way."""
        return self.decoder.begin_search(self.image.detach(), use_trie=False)
