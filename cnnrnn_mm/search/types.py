# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What goes into a search and what comes out.

Axis letters: N images, C labels, V = C + 1 (labels and END), B beams, K paths kept, L labels of the
longest path kept, M hypotheses. END is token C: the last column of a step's log-probabilities.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import UsageError

__all__ = [
    'NEVER',
    'NonFiniteScoresError',
    'SearchResult',
    'State',
    'StepFunction',
    'as_normal_tensors',
    'check_found',
]

#: The log-probability of what can't happen.
NEVER = float('-inf')

#: Whatever the model carries from step to step: tensors whose first axis is the hypotheses.
State: TypeAlias = tuple[Tensor, ...]

#: ``step(tokens (M,) int64, state) -> (log_probs (M, V), state)`` for M hypotheses. The search does
#: not write into what it gets.
StepFunction: TypeAlias = Callable[[Tensor, State], tuple[Tensor, State]]


class NonFiniteScoresError(UsageError, FloatingPointError):
    """The model gave NaN or infinite scores for an image.

    Args:
        images: Positions in the batch of the images concerned.
        name: What the message calls the first of them; None for its position.
    """

    def __init__(self, images: list[int], name: str | None = None) -> None:
        self.images = images
        others = f' (and {len(images) - 1} more images)' if len(images) > 1 else ''
        super().__init__(
            f'the model gave NaN or infinite scores for {name or f"image {images[0]} of the batch"}'
            f'{others}: check its weights, the learning rate and the image'
        )


@dataclass(frozen=True)
class SearchResult:
    """Finished paths of N images, the most probable first, and what is known about the others.

    The probability of a path is equation (6): the product of the model's step probabilities, END
    included, whatever the constraints left out. Labels given as a prefix have probability 1, so
    with a prefix everything here is conditional on it.

    A *drawn path* is one that the model would write if each step were drawn from its softmax,
    repetitions included; its label set is what stands in it.

    Attributes:
        paths: (N, K, L) int64, the labels of each path, -1 after its last label. A given prefix is
            part of them.
        lengths: (N, K) int64, labels in each path, END not counted; 0 where there is no path.
        log_probs: (N, K), natural log of P(l_1..l_k, END given image), equation (6); -inf where
            fewer than K paths ended before the search stopped.
        totals: (N, K, L), natural log of the probability of the path up to each label; the whole
            path's after the last one, and 0 for a given prefix.
        lower: (N, C) in [0, 1], certified: P(label in the set of a drawn path) is not below. The
            sum of P(prefix) p(label given prefix) over all prefixes that the search expanded:
            a path names a label for the first time after exactly one prefix.
        upper: (N, C) in [0, 1], certified: that probability is not above. One minus the sum of
            P(prefix) p(END given prefix) over all expanded prefixes without the label.
        largest: (N, C) in [0, 1], the largest p(label given prefix) among the expanded prefixes
            without the label; 0 for labels that no constraint allowed.
        rest: (N,), natural log: no allowed path that the search dropped is more probable than
            this; -inf where nothing was dropped. What was still open when the search stopped was
            not more probable than the paths it kept, unless a budget stopped it: then ``rest``
            covers the open ones, too.
        expansions: (N,) int64, prefixes expanded for each image.
    """

    paths: Tensor
    lengths: Tensor
    log_probs: Tensor
    totals: Tensor
    lower: Tensor
    upper: Tensor
    largest: Tensor
    rest: Tensor
    expansions: Tensor

    @property
    def step_log_probs(self) -> Tensor:
        """(N, K, L + 1), natural log of each step's probability.

        END included; 0 after END and for a given prefix, so that a row sums to ``log_probs``.
        """
        totals = torch.cat([self.totals, self.log_probs.unsqueeze(-1)], -1)
        steps = totals.diff(dim=-1, prepend=torch.zeros_like(totals[..., :1])).clamp_(max=0.0)
        return steps.masked_fill((self.log_probs == NEVER).unsqueeze(-1), 0.0)

    @property
    def proven(self) -> Tensor:
        """(N,) bool: the first path is certified to be the most probable one allowed."""
        return self.log_probs[:, 0] >= self.rest

    @property
    def gaps(self) -> Tensor:
        """(N,), natural log: a better path, if any, is better by at most this; 0 where proven."""
        return (self.rest - self.log_probs[:, 0]).clamp(min=0.0)


def check_found(log_probs: Tensor, lower: Tensor, remedy: str) -> None:
    """Raise if scores were not finite, or if an image has no path.

    Args:
        log_probs: (N, K) of the paths found.
        lower: (N, C), whose sums carry any NaN on.
        remedy: What to do where no path was found.
    """
    # One number that is finite if and only if everything is fine.
    if math.isfinite(float(log_probs[:, 0].sum() + lower.sum())):
        return
    broken = log_probs.isnan().any(1) | log_probs.isposinf().any(1) | ~lower.isfinite().all(1)
    if bool(broken.any()):
        raise NonFiniteScoresError(broken.nonzero().flatten().tolist())
    images = (log_probs[:, 0] == NEVER).nonzero().flatten().tolist()
    raise UsageError(
        f'no label path found for image {images[0]} of the batch ({len(images)} such images), '
        f'every one breaks a constraint or has probability 0: {remedy}'
    )


def as_normal_tensors(result: SearchResult) -> SearchResult:
    """Copies that may be changed in place and take part in autograd outside of inference mode."""
    with torch.inference_mode(False):
        parts = {field.name: getattr(result, field.name) for field in fields(result)}
        return SearchResult(**{name: part.clone() for name, part in parts.items()})
