# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Probability mass seen by a search, label by label.

Axis letters: N images, A images of a step, W prefixes of an image, C labels.
"""

import torch
from torch import Tensor

from .types import NEVER

__all__ = ['Tally']


class Tally:
    """Bounds of P(label in the set of a drawn path) from the prefixes that a search expanded.

    After a prefix without label l, three things can happen: l comes next (the path names it,
    whatever follows), END comes (it never will), or another label comes (open until that longer
    prefix is expanded in its turn). The first masses add up to the lower bound, the second ones to
    its complement. No mass is counted twice, because the prefixes of a path are nested.

    Args:
        num_images: N.
        num_labels: C.
        device: Where the search runs.

    Attributes:
        lower: (N, C), the lower bounds.
        expansions: (N,) int64, prefixes expanded.
    """

    def __init__(self, num_images: int, num_labels: int, device: torch.device) -> None:
        self.lower = torch.zeros((num_images, num_labels), device=device)
        self.expansions = torch.zeros(num_images, dtype=torch.long, device=device)
        self._largest = torch.full((num_images, num_labels), NEVER, device=device)
        self._ended = torch.zeros(num_images, device=device)
        self._ended_with = torch.zeros((num_images, num_labels + 1), device=device)

    def add_children(self, images: Tensor, mass: Tensor) -> None:
        """Count what comes next.

        Args:
            images: (A,) int64; an image may come more than once.
            mass: (A, C), probabilities of the images' prefixes followed by each label.
        """
        self.lower.index_add_(0, images, mass)

    def add_steps(self, images: Tensor, log_probs: Tensor) -> None:
        """Look for the largest step probabilities.

        Args:
            images: (A,) int64; an image may come more than once.
            log_probs: (A, C), log-probabilities of each label given a prefix.
        """
        index = images.unsqueeze(-1).expand_as(log_probs)
        self._largest.scatter_reduce_(0, index, log_probs, 'amax')

    def add_expansions(self, images: Tensor, scores: Tensor) -> None:
        """Count prefixes: (A,) images and log-probabilities (A, W), -inf for none."""
        self.expansions.index_add_(0, images, (scores > NEVER).sum(1))

    def add_ends(self, images: Tensor, mass: Tensor) -> None:
        """Count prefixes that end: (A,) images and the probabilities (A,) that they end there."""
        self._ended.index_add_(0, images, mass)

    def add_ends_with(self, images: Tensor, labels: Tensor, mass: Tensor) -> None:
        """Count labels of prefixes that end.

        Args:
            images: (A,) int64.
            labels: (A, W) int64; C for none.
            mass: (A, W), probabilities of ending with this label among those before END.
        """
        place = torch.add(labels, images.unsqueeze(-1), alpha=self._ended_with.shape[1])
        self._ended_with.view(-1).index_add_(0, place.flatten(), mass.flatten())

    def set_ends(self, labels: Tensor, mass: Tensor, expansions: Tensor) -> None:
        """Take the whole tree of each image at once, in place of the three methods above.

        Args:
            labels: (N, S) int64, the last label of each prefix, C for the empty one, which is the
                first.
            mass: (N, S), probabilities that a path begins like this and ends at a known place.
            expansions: (N,) int64.
        """
        self.expansions, self._ended = expansions, mass[:, 0]
        self._ended_with.scatter_add_(1, labels, mass)

    def largest(self) -> Tensor:
        """(N, C), the largest probability with which each label came next."""
        return self._largest.exp()

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds, each (N, C) in [0, 1]."""
        lower = self.lower.clamp(0.0, 1.0)
        without = self._ended.unsqueeze(-1) - self._ended_with[:, :-1]
        # Rounding may put either a hair over the other where nothing is left open.
        return lower, torch.maximum(1.0 - without, lower).clamp(0.0, 1.0)
