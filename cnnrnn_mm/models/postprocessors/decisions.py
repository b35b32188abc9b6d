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
from ...search import PathSamples, SearchResult, expected_f1_sets, threshold_sets
from ...search.types import NEVER

__all__ = ['Decoded', 'ExpectedF1Decision', 'PathDecision', 'SetDecision', 'ThresholdDecision']


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
class SetDecision:
    """The label set whose paths are most probable together, for models without a fixed order.

    Such a model spreads the probability of n labels over up to n! paths, and the single best path
    is then often the empty one or a short one. The probabilities of the m orders of a set that the
    search found are added up and multiplied by n! / m, as if the others were like them. Labels
    stand in the order of the set's best path.

    Args:
        correct: Whether to multiply. Without it only what was found counts.
    """

    def __init__(self, correct: bool = True) -> None:
        self.correct = correct

    def __call__(self, decoded: Decoded) -> list[Tensor]:
        """N tensors (n_i,) int64."""
        result = decoded.result
        num_images, num_paths, longest = result.paths.shape
        images = torch.arange(num_images, device=result.paths.device)
        images = images.repeat_interleave(num_paths)
        keys = torch.cat([images.unsqueeze(1), result.paths.flatten(0, 1).sort(-1).values], 1)
        found = result.log_probs.flatten() > NEVER
        keys = torch.where(found.unsqueeze(1), keys, -1)
        _, sets, orders = keys.unique(dim=0, return_inverse=True, return_counts=True)
        log_probs = result.log_probs.flatten().double()  # (N * K,)
        highest = log_probs.new_full((len(orders),), NEVER)
        highest = highest.scatter_reduce(0, sets, log_probs, 'amax').clamp(min=-1e30)
        sums = torch.zeros_like(highest).index_add_(0, sets, (log_probs - highest[sets]).exp())
        values = (sums.log() + highest)[sets]
        if self.correct:
            values = values + torch.lgamma(result.lengths.flatten() + 1.0) - orders[sets].log()
        values = torch.where(found, values, NEVER).view(num_images, num_paths)
        best = values.argmax(1)  # the first of a set's paths is its best one
        return [
            result.paths[row, path, : int(result.lengths[row, path])]
            for row, path in enumerate(best.tolist())
        ]


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
        return _by_score(threshold_sets(decoded.scores, thr), decoded.scores)


@MODELS.register_module()
class ExpectedF1Decision:
    """The set with the highest expected F1 with the true one, the highest ``pred_score`` first.

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
        return _by_score(sets, decoded.scores)


def _by_score(sets: Tensor, scores: Tensor) -> list[Tensor]:
    """The labels of each set (N, C), those with the highest scores (N, C) first."""
    order = scores.masked_fill(~sets, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    return [row[:count] for row, count in zip(order, sets.sum(-1).tolist(), strict=True)]
