# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From what each region says to what the image says.

Axis letters: N images, B regions, X scores.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import UsageError

__all__ = ['FUSIONS', 'find_fusion', 'gates_of']


def _max(scores: Tensor, gates: Tensor) -> Tensor:
    return (scores + gates.unsqueeze(-1)).amax(-2)


def _logsumexp(scores: Tensor, gates: Tensor) -> Tensor:
    counts = gates.isfinite().sum(-1, keepdim=True).to(scores.dtype)  # (..., 1)
    return (scores + gates.unsqueeze(-1)).logsumexp(-2) - counts.log()


def _whole_and_max(scores: Tensor, gates: Tensor) -> Tensor:
    return (scores[..., 0, :] + _max(scores, gates)) / 2


#: (scores (..., B, X), gates (..., B)) -> (..., X). The class-wise maximum is RLSD's. Logsumexp,
#: here the log of the mean of the exponentials, passes a gradient to all regions, not the best one
#: alone; it is at most the maximum, and equal regions give the same with both. The third is the
#: mean of the maximum and of what the whole image, region 0, says: a label that no region names
#: aloud still counts by the scene it belongs to.
FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'max': _max,
    'logsumexp': _logsumexp,
    'whole_and_max': _whole_and_max,
}


def find_fusion(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The fusion called ``name`` in :data:`FUSIONS`."""
    if name not in FUSIONS:
        raise UsageError(f"fusion '{name}' is not known: choose one of {', '.join(FUSIONS)}")
    return FUSIONS[name]


def gates_of(log_gates: Tensor, valid: Tensor) -> Tensor:
    """What is added to all scores of a region: (N, B) and (N, B) bool -> (N, B).

    A region that probably shows nothing says everything less loudly, which is also how the
    proposal network learns from image labels; padding says nothing at all (-inf).
    """
    return torch.where(valid, log_gates, -torch.inf)
