# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Several views of an image as one distribution over its label paths.

Axis letters: N images, W views of an image, M hypotheses, C labels, V = C + 1 (labels and END).
"""

import torch
from torch import Tensor

from ...search import State, StepFunction
from ...search.types import NEVER

__all__ = ['mix_views']


def mix_views(
    step: StepFunction, state: State, log_weights: Tensor, num_images: int, num_labels: int
) -> tuple[StepFunction, State]:
    """The step function of a mixture of views.

    One of the W views of an image is right, and which one is not known: with weights pi_w the
    probability of a path is the mean of what the views say::

        P(path) = sum over w of pi_w P_w(path)

    This is one distribution over paths, whose step probabilities are means under the posterior of
    the views, given the labels so far::

        P(l | prefix) = sum over w of pi_w(prefix) P_w(l | prefix)
        pi_w(prefix)  = pi_w P_w(prefix) / sum over v of pi_v P_v(prefix)

    so a search of it is an ordinary search, with all its proofs and bounds; a given prefix counts
    for the views that expected it (Bayes' rule). Marginals of the mixture are the means of the
    views' marginals: among the ways to pool distributions, only linear ones have that property
    (McConway, "Marginalization and linear opinion pools", JASA 1981).

    The mean of the views' steps with fixed weights is another distribution, in which a view that
    the labels so far have refuted speaks as loud as before; a product of experts has to be
    normalised over all paths.

    The state holds what the views said last, W V numbers a hypothesis: only the next token tells
    how much each view had expected it.

    Args:
        step: The model's, for hypotheses of single views.
        state: Before the first step, each tensor with first axis N W: the views of an image stand
            together.
        log_weights: (W,), natural log of pi; their sum is 1.
        num_images: N.
        num_labels: C.

    Returns:
        The step and the state for N images.
    """
    num_views = len(log_weights)
    weights = log_weights.float().expand(num_images, -1).contiguous()  # (N, W)
    said = weights.new_zeros(num_images, num_views, num_labels + 1)  # START is certain
    views = tuple(part.unflatten(0, (num_images, num_views)) for part in state)

    def mixed(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        weights, said, *views = state
        # START has no column; before it all columns are 0.
        last = tokens.clamp(max=num_labels).view(-1, 1, 1).expand(-1, num_views, 1)
        weights = _normalised(weights + said.gather(-1, last).squeeze(-1), weights)  # (M, W)
        log_probs, views = step(
            tokens.repeat_interleave(num_views), tuple(part.flatten(0, 1) for part in views)
        )
        rows = (len(tokens), num_views)
        said = log_probs.float().unflatten(0, rows)  # (M, W, V)
        views = tuple(part.unflatten(0, rows) for part in views)
        steps = (said + weights.unsqueeze(-1)).logsumexp(1).clamp(max=0.0)
        return steps, (weights, said, *views)

    return mixed, (weights, said, *views)


def _normalised(log_weights: Tensor, before: Tensor) -> Tensor:
    """Log-weights (M, W) whose sum is 1; those of before where no view thinks it possible."""
    total = torch.logsumexp(log_weights, 1, keepdim=True)
    return torch.where(total > NEVER, log_weights - total, before)
