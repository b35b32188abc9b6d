# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a best-first search has expanded so far, all images together.

Axis letters: n prefixes so far, M added at once, N images, K paths kept, T labels of the longest.
"""

import torch
from torch import Tensor

from .growing import GrowingTensor
from .types import State

__all__ = ['ExpandedPrefixes', 'Prefixes']


class Prefixes:
    """M prefixes that are about to be expanded.

    Attributes:
        images: (M,) int64, ascending.
        parents: (M,) int64, numbers of the prefixes they extend by one label.
        scores: (M,), log-probabilities.
        paths: (M, T) int64, labels, the last one repeated where a path is shorter.
        lengths: (M,) int64.
    """

    def __init__(
        self, images: Tensor, parents: Tensor, scores: Tensor, paths: Tensor, lengths: Tensor
    ) -> None:
        self.images, self.parents, self.scores = images, parents, scores
        self.paths, self.lengths = paths, lengths

    @classmethod
    def roots(cls, num_images: int, device: torch.device) -> 'Prefixes':
        """The empty prefix of each image."""
        zeros = torch.zeros(num_images, dtype=torch.long, device=device)
        images = torch.arange(num_images, device=device)
        return cls(
            images,
            zeros,
            torch.zeros(num_images, device=device),
            zeros.new_empty(num_images, 0),
            zeros,
        )

    def part(self, start: int, stop: int) -> 'Prefixes':
        """Some of them."""
        parts = (self.images, self.parents, self.scores, self.paths, self.lengths)
        return Prefixes(*(part[start:stop] for part in parts))

    def masked_paths(self, fill: int) -> Tensor:
        """The labels (M, T), ``fill`` instead of repeated ones."""
        places = torch.arange(self.paths.shape[1], device=self.paths.device)
        return self.paths.masked_fill(places >= self.lengths.unsqueeze(-1), fill)


class ExpandedPrefixes:
    """The tree of expanded prefixes. A prefix's number is its place in the order of expansion.

    Args:
        state: The state before the first step, for the shapes of its parts; may be empty.
        device: Where the search runs.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        self._state = [GrowingTensor(part) for part in state]
        numbers = torch.empty(0, dtype=torch.long, device=device)
        self._parents, self._lengths = GrowingTensor(numbers), GrowingTensor(numbers)
        self._paths = GrowingTensor(numbers.unsqueeze(-1)[:, :0])
        self._scores = GrowingTensor(torch.empty(0, device=device))

    def add(self, prefixes: Prefixes, state: State) -> Tensor:
        """Keep what was just expanded, with the state (M, ...) after it; return numbers (M,)."""
        start = len(self._scores.rows)
        for store, part in zip(self._state, state, strict=True):
            store.append(part)
        self._paths.append(prefixes.paths)
        self._parents.append(prefixes.parents)
        self._lengths.append(prefixes.lengths)
        self._scores.append(prefixes.scores)
        numbers = torch.arange(start, len(self._scores.rows), device=prefixes.images.device)
        return numbers

    def longer(self, images: Tensor, parents: Tensor, labels: Tensor, scores: Tensor) -> Prefixes:
        """Prefixes that extend those with numbers ``parents`` (M,) by ``labels`` (M,)."""
        lengths = self._lengths.rows[parents]
        self._paths.widen(int(lengths.max()) + 1)
        paths = self._paths.rows[parents]
        places = torch.arange(paths.shape[1], device=paths.device)
        paths = torch.where(places < lengths.unsqueeze(-1), paths, labels.unsqueeze(-1))
        return Prefixes(images, parents, scores, paths, lengths + 1)

    def state(self, numbers: Tensor) -> State:
        """The states (M, ...) after the prefixes with these numbers."""
        return tuple(store.rows[numbers] for store in self._state)

    def read_paths(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Labels (N, K, L), lengths (N, K) and log-probabilities up to each label (N, K, L).

        After the last label of a path stands anything.
        """
        lengths = self._lengths.rows[numbers]
        longest = int(lengths.max())
        labels = self._paths.rows[numbers][..., :longest]
        totals = torch.zeros(labels.shape, device=labels.device)
        for place in reversed(range(longest)):
            inside = lengths > place
            totals[..., place] = self._scores.rows[numbers]
            numbers = torch.where(inside, self._parents.rows[numbers], numbers)
        return labels, lengths, totals
