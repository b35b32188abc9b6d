# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which label set to answer with, given what a search and the scores say.

Axis letters: N images, C labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ...search import PathSamples, SearchResult, expected_f1_sets

__all__ = ['Decoded', 'ExpectedF1Decision', 'PathDecision', 'ThresholdDecision']


@dataclass(frozen=True)
class Decoded:
    """What a decision may look at.

    Attributes:
        result: Of the search.
        scores: (N, C), ``pred_score``.
        draw: ``draw(num_samples, seed)`` draws label paths under the constraints of the call.
    """

    result: SearchResult
    scores: Tensor
    draw: Callable[[int, int], PathSamples]


@MODELS.register_module()
class PathDecision:
    """The most probable path, in path order: best where the whole set has to be right."""

    def __call__(self, decoded: Decoded) -> list[Tensor]:
        """N tensors (n_i,) int64."""
        paths, lengths = decoded.result.paths[:, 0], decoded.result.lengths[:, 0].tolist()
        return [path[:length] for path, length in zip(paths, lengths, strict=True)]


@MODELS.register_module()
class ThresholdDecision:
    """The labels whose ``pred_score`` is at least a threshold, the best first.

    It answers label by label: a set may break an exclusive group or a limit of length.

    Args:
        thr: One for all labels, or C of them.
    """

    def __init__(self, thr: float | Sequence[float]) -> None:
        self.thr = torch.as_tensor(thr, dtype=torch.float)
        if self.thr.dim() > 1 or bool(self.thr.isnan().any()):
            raise UsageError(f'thr is {thr}: give a number, or one for each label')

    def __call__(self, decoded: Decoded) -> list[Tensor]:
        """N tensors (n_i,) int64."""
        thr = self.thr.to(decoded.scores)
        if thr.dim() == 1 and len(thr) != decoded.scores.shape[1]:
            raise UsageError(
                f'thr has {len(thr)} entries for {decoded.scores.shape[1]} labels: give one for '
                'each, or a single number'
            )
        return _by_score(decoded.scores >= thr, decoded.scores)


@MODELS.register_module()
class ExpectedF1Decision:
    """The set with the highest expected F1 with the true one, the most probable label first.

    The expectation is over label paths drawn from the model, under the constraints of the call, and
    the maximum over all sets is exact for them (:func:`cnnrnn_mm.search.expected_f1_sets`). The
    draws are the same in every call.

    Args:
        num_samples: Paths to draw for an image.
        seed: Of the draws.
    """

    def __init__(self, num_samples: int = 256, seed: int = 0) -> None:
        if num_samples < 1:
            raise UsageError(f'num_samples is {num_samples}: set it to 1 or more')
        self.num_samples, self.seed = num_samples, seed

    def __call__(self, decoded: Decoded) -> list[Tensor]:
        """N tensors (n_i,) int64."""
        samples = decoded.draw(self.num_samples, self.seed)
        sets, _ = expected_f1_sets(samples.sets, samples.weights)
        return _by_score(sets, samples.marginals())


def _by_score(sets: Tensor, scores: Tensor) -> list[Tensor]:
    """The labels of each set (N, C), those with the highest scores (N, C) first."""
    order = scores.masked_fill(~sets, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    return [row[:count] for row, count in zip(order, sets.sum(-1).tolist(), strict=True)]
