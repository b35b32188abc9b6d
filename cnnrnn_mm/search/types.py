# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What goes into a search and what comes out.

Axis letters: N images, C labels, V = C + 1 (labels and END), B beams, K paths kept, L labels of the
longest path kept. END is token C: the last column of a step's log-probabilities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

__all__ = ['SearchResult', 'State', 'StepFunction']

#: Whatever the model carries from step to step: tensors whose first axis is the hypotheses.
State: TypeAlias = tuple[Tensor, ...]

#: ``step(tokens (M,) int64, state) -> (log_probs (M, V), state)`` for M hypotheses.
StepFunction: TypeAlias = Callable[[Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class SearchResult:
    """Finished paths of N images, the most probable first, and the label marginals seen on the way.

    Attributes:
        paths: (N, K, L) int64, the labels of each path, -1 after its last label.
        lengths: (N, K) int64, labels in each path, END not counted; 0 where there is no path.
        log_probs: (N, K), natural log of P(l_1..l_k, END given image), equation (6); -inf where
            fewer than K paths ended before the search stopped. No path left out is more probable
            than those of a search wide enough to prune nothing.
        step_log_probs: (N, K, L + 1), natural log of each step's probability, END included; 0 after
            END, so that a row sums to ``log_probs``.
        marginals: (N, C) in [0, 1]: the sum of P(prefix) p(label given prefix) over all prefixes
            that the search expanded. Each label set with the label holds it after exactly one
            prefix, so this is a lower bound on P(label in path).
    """

    paths: Tensor
    lengths: Tensor
    log_probs: Tensor
    step_log_probs: Tensor
    marginals: Tensor
