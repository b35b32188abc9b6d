# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What heads, losses and searches may ask of a model of label paths.

Axis letters: N images, T steps, M tokens that count, C labels, V = C + 1 (labels and END), D
embedding size, F image feature size.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from ...errors import UsageError
from ...search import State, StepFunction

__all__ = ['BaseDecoder']


class BaseDecoder(BaseModule, metaclass=ABCMeta):
    """Scores of the next label, given the labels so far and the image.

    What a decoder makes of the images is a tensor whose first axis is N; what it holds is the
    decoder's own affair.
    """

    #: Whether it reads the logits of a marginal branch.
    takes_marginals = False
    #: Whether labels may have no chance at all, and a score of -inf.
    bars_labels = False

    @abstractmethod
    def forward(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Score what follows each token.

        Args:
            image: (N, ...) that the decoder made of the images.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            state: The recurrent state before ``tokens``; None for the start of the sequence.

        Returns:
            Scores (N, T, V), not normalised, and the state after the last token.
        """

    @abstractmethod
    def score_sequences(self, image: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
        """Score what follows each token that counts.

        Args:
            image: (N, ...) that the decoder made of the images.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            valid: (N, T) bool, False for padding, which may only stand behind.

        Returns:
            (M, V), the rows of :meth:`forward` where ``valid``.
        """

    @abstractmethod
    def begin_search(
        self, image: Tensor, use_trie: bool = True, keep_all: bool = False
    ) -> tuple[StepFunction, State]:
        """What a search needs: the step and the state before START.

        Args:
            image: (N, ...) that the decoder made of the images.
            use_trie: Remember what label paths gave, where the decoder can.
            keep_all: The search comes back to prefixes of earlier steps (best-first search does).
        """

    def _check_marginals(self, logits: Tensor | None) -> Tensor:
        """The logits (N, C) of the marginal branch, for a decoder that reads them."""
        if logits is None:
            raise UsageError(
                f'{type(self).__name__} reads the marginal branch, and the head has none: set '
                'marginal=dict() in the head'
            )
        return logits

    def set_order(self, name: str, order: Sequence[int]) -> None:
        """Take the label order that the paths are learnt in; for decoders that depend on it.

        Args:
            name: What the order is called.
            order: All class ids.
        """

    def label_vectors(self) -> Tensor | None:
        """The labels (C, D) in the space that they share with the images; None if there is none."""
        return None

    def image_vectors(self, features: Tensor) -> Tensor:
        """The images there: the scores' share of the image is their dot product with the labels.

        Args:
            features: What :meth:`CNNRNNHead.pre_logits` gives, (N, F), or (N, B, F) for B regions.

        Returns:
            (N, D).
        """
        raise NotImplementedError(f'{type(self).__name__} has no joint embedding')
