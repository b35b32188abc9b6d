# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a best-first search may still expand.

Axis letters: N images, A images still searching, M prefixes just expanded, C labels, Q open
prefixes of an image, E of them taken at once.
"""

import torch
from torch import Tensor

from .growing import group_rows
from .types import NEVER

__all__ = ['OpenPrefixes']


class OpenPrefixes:
    """One queue an image, the most probable first. An entry is an expanded prefix and a label.

    A queue holds no more entries than the image may still expand: what is behind those could not be
    taken any more, and only its log-probability is remembered.

    Args:
        num_images: N.
        budget: How many prefixes may be taken for each image.
        device: Where the search runs.

    Attributes:
        rest: (N,), the most probable entry that is still open or was given up.
    """

    def __init__(self, num_images: int, budget: int, device: torch.device) -> None:
        self.rest = torch.full((num_images,), NEVER, device=device)
        self._images = torch.arange(num_images, device=device)  # (A,)
        self._left = torch.full((num_images,), budget, device=device)  # (A,)
        self._scores = torch.empty((num_images, 0), device=device)  # (A, Q)
        self._parents = torch.empty((num_images, 0), dtype=torch.long, device=device)
        self._labels = torch.empty((num_images, 0), dtype=torch.long, device=device)
        self._sorted = True

    def add(self, images: Tensor, parents: Tensor, children: Tensor, worst: Tensor) -> None:
        """Open the expansions that could still lead to a path worth keeping.

        Args:
            images: (M,) int64, ascending.
            parents: (M,) int64, numbers of the expanded prefixes.
            children: (M, C), their log-probabilities followed by each label.
            worst: (N,), what a path must beat.
        """
        which, labels = (children > worst[images].unsqueeze(-1)).nonzero(as_tuple=True)
        if len(which) == 0:
            return
        rows = torch.zeros_like(self.rest, dtype=torch.long)
        rows[self._images] = torch.arange(len(self._images), device=rows.device)
        new = group_rows(
            rows[images[which]],
            len(self._images),
            (children[which, labels], NEVER),
            (parents[which], 0),
            (labels, 0),
        )
        old = (self._scores, self._parents, self._labels)
        scores, parents, labels = (torch.cat(pair, 1) for pair in zip(old, new, strict=True))
        useful = int((scores > worst[self._images].unsqueeze(-1)).sum(1).max())
        most = min(useful, int(self._left.max()))
        ordered, pick = scores.topk(min(most + 1, scores.shape[1]))
        self._give_up(ordered[:, most:])
        pick = pick[:, :most]
        self._scores = ordered[:, :most].contiguous()
        self._parents, self._labels = parents.gather(1, pick), labels.gather(1, pick)
        self._sorted = True

    def take(self, width: int, worst: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take the E best entries of each image, as far as they are worth it and may be taken.

        An image that gives none is finished.

        Args:
            width: E.
            worst: (N,), what a path must beat.

        Returns:
            Images (ascending), parents, labels and log-probabilities of the entries, each (M,).
        """
        if not self._sorted:  # nothing was added since the last time
            self._scores, pick = self._scores.sort(1, descending=True)
            self._parents, self._labels = (
                self._parents.gather(1, pick),
                self._labels.gather(1, pick),
            )
        head = self._scores[:, :width]
        places = torch.arange(head.shape[1], device=head.device)
        chosen = (head > worst[self._images].unsqueeze(-1)) & (places < self._left.unsqueeze(-1))
        row, place = chosen.nonzero(as_tuple=True)
        taken = (
            self._images[row],
            self._parents[row, place],
            self._labels[row, place],
            self._scores[row, place],
        )
        self._left = self._left - chosen.sum(1)
        self._scores[row, place] = NEVER
        self._sorted = False
        stays = chosen.any(1)
        if not bool(stays.all()):
            self._give_up(self._scores.masked_fill(stays.unsqueeze(-1), NEVER))
            keep = stays.nonzero().squeeze(-1)
            self._images, self._left = self._images[keep], self._left[keep]
            self._scores, self._parents, self._labels = (
                part[keep] for part in (self._scores, self._parents, self._labels)
            )
        return taken

    def _give_up(self, scores: Tensor) -> None:
        """Remember the best of the entries (A, any) that are let go."""
        if scores.shape[1] > 0:
            best = torch.maximum(self.rest[self._images], scores.amax(1))
            self.rest.index_copy_(0, self._images, best)
