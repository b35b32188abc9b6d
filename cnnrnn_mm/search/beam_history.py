# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a beam search leaves behind on its way, and the paths read back from it.

Axis letters: N images, A images of a step, W live prefixes of an image, K paths kept, S prefixes of
all lengths, C labels, L labels of the longest path kept.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from .results import finished_result
from .tally import Tally
from .types import NEVER, SearchResult

__all__ = ['BeamHistory']


class BeamHistory:
    """Whatever is not needed to go on is put down as it is, and sorted out once at the end.

    Args:
        num_images: N.
        num_labels: C.
        num_paths: K.
        device: Where the search runs.
    """

    def __init__(
        self, num_images: int, num_labels: int, num_paths: int, device: torch.device
    ) -> None:
        self._num_images, self._num_labels, self._num_paths = num_images, num_labels, num_paths
        self._kept = torch.empty((num_images, 0), device=device)  # (A, up to K)
        # One entry a length, (A, W) each, and the images (A,) that it is about.
        self._images: list[Tensor] = []
        self._ends: list[Tensor] = []
        self._candidates: list[Tensor] = []
        self._lost: list[Tensor] = []
        self._flat: list[Tensor] = [torch.zeros((num_images, 1), dtype=torch.long, device=device)]
        self._scores: list[Tensor] = [torch.zeros((num_images, 1), device=device)]

    def finish(self, candidates: Tensor) -> Tensor:
        """Take the candidates of one length, (A, W), -inf where there is none.

        Returns:
            (A,): what a live prefix has to beat: the worst candidate kept, -inf if there is none.
        """
        kept = torch.cat([self._kept, candidates], 1)
        if self._num_paths == 1:
            self._kept = kept.amax(1, keepdim=True)
            return self._kept[:, 0]
        self._kept, _ = kept.topk(min(self._num_paths, kept.shape[1]))
        return torch.where(self._kept == NEVER, self._kept[:, :1], self._kept).amin(1)

    def end(self, images: Tensor, ends: Tensor, candidates: Tensor, lost: Tensor) -> None:
        """Put down what became of the prefixes of one length.

        Args:
            images: (A,) int64.
            ends: (A, W), log-probabilities of the prefixes followed by END.
            candidates: (A, W), the same where that made a candidate, else -inf.
            lost: (A,), the most probable longer prefix that did not fit into the beam.
        """
        self._images.append(images)
        self._ends.append(ends)
        self._candidates.append(candidates)
        self._lost.append(lost.unsqueeze(1))

    def grow(self, keep: Tensor | None, flat: Tensor, scores: Tensor) -> None:
        """Put down the prefixes of the next length.

        Args:
            keep: (A',) int64, places of their images among the A; None if all stay.
            flat: (A', W) int64, parent * C + last label.
            scores: (A', W), log-probabilities.
        """
        self._flat.append(flat)
        self._scores.append(scores)
        if keep is not None:
            self._kept = self._kept.index_select(0, keep)

    def result(self, tally: Tally, prefixes: Sequence[Sequence[int]]) -> SearchResult:
        """The candidates as paths, followed back along the pointers all at once.

        Args:
            tally: Mass of the labels that came next; the mass of END is added here.
            prefixes: N given prefixes.
        """
        widths = [ends.shape[1] for ends in self._ends]
        flat, scores = self._row(self._flat, 0), self._row(self._scores, NEVER)  # (N, S)
        ends, candidates = self._row(self._ends, NEVER), self._row(self._candidates, NEVER)
        parents = flat.div(self._num_labels, rounding_mode='floor')  # slots of the length before
        labels = flat.remainder_(self._num_labels)
        labels[:, 0] = self._num_labels  # the empty prefix has none

        # END's mass: from the longest prefixes on, each hands its own to its parent.
        mass = ends.exp()
        of_length, slots = mass.split(widths, 1), parents.split(widths, 1)
        for length in reversed(range(1, len(widths))):
            of_length[length - 1].scatter_add_(1, slots[length], of_length[length])
        tally.set_ends(labels, mass, (scores > NEVER).sum(1))

        dropped = ends.masked_fill_(candidates > NEVER, NEVER).amax(1)
        rest = torch.maximum(dropped, self._row(self._lost, NEVER).amax(1))
        if candidates.shape[1] < self._num_paths:
            missing = self._num_paths - candidates.shape[1]
            candidates = torch.nn.functional.pad(candidates, (0, missing), value=NEVER)
        kept, at = candidates.topk(self._num_paths)
        at.masked_fill_(kept == NEVER, 0)

        # Parents and lengths by place in the row; the empty prefix is its own parent.
        starts = [0, *accumulate(widths[:-2], initial=0)][: len(widths)]
        columns = [
            (start, length)
            for length, (start, width) in enumerate(zip(starts, widths, strict=True))
            for _ in range(width)
        ]
        first_parents, length_of = torch.tensor(columns, device=flat.device).unbind(1)
        parents += first_parents
        lengths = length_of[at]  # (N, K)
        nodes = [at]
        for _ in range(int(lengths.max()) - 1):
            nodes.append(parents.gather(1, nodes[-1]))
        nodes = torch.stack(nodes, -1)  # (N, K, L), the last label first
        places = torch.arange(nodes.shape[-1], device=nodes.device)
        backwards = (lengths.unsqueeze(-1) - 1 - places).clamp_(min=0)
        nodes = nodes.gather(-1, backwards).flatten(1)
        labels = labels.gather(1, nodes).view_as(backwards)
        totals = scores.gather(1, nodes).view_as(backwards)
        return finished_result(labels, lengths, totals, kept, rest, tally, prefixes)

    def _row(self, parts: list[Tensor], fill: float) -> Tensor:
        """Entries of all lengths side by side, (N, S); ``fill`` for images that had left."""
        whole = []
        for part, images in zip(parts, self._images, strict=True):
            if images.shape[0] < self._num_images:
                full = part.new_full((self._num_images, part.shape[1]), fill)
                part = full.index_copy_(0, images, part)
            whole.append(part)
        return torch.cat(whole, 1)
