# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the next token of a path is drawn from, and the draw.

Axis letters: M distinct prefixes, P samples, V = C + 1 tokens (C labels and END).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .constraints import Constraints
from .types import NEVER

__all__ = ['orders_of', 'propose', 'tokens_at']

#: Probabilities are drawn as multiples of this share: sums of whole numbers are exact on all
#: devices, and what has probability 0 is never drawn.
UNITS = 2**40


def orders_of(limits: Constraints | Sequence[Constraints] | None) -> list[Sequence[int] | None]:
    """The order of each image, or one for all."""
    if limits is None or isinstance(limits, Constraints):
        limits = [limits or Constraints()]
    return [one.order for one in limits]


def propose(
    log_probs: Tensor, allowed: Tensor, orders: list[Sequence[int] | None], order_of: Tensor
) -> Tensor:
    """What the next token is drawn from, (M, V); rows of zeros where nothing is allowed.

    Args:
        log_probs: (M, V), the model's.
        allowed: (M, V), the same with -inf where a constraint forbids to go on.
        orders: The orders there are; None for no order.
        order_of: (M,) int64, which of them holds for each prefix.
    """
    if len(orders) == 1:
        return _next(log_probs, allowed, orders[0])
    probs = torch.empty_like(log_probs)
    for index, order in enumerate(orders):
        rows = (order_of == index).nonzero().squeeze(-1)
        probs[rows] = _next(log_probs[rows], allowed[rows], order)
    return probs


def _next(log_probs: Tensor, allowed: Tensor, order: Sequence[int] | None) -> Tensor:
    """:func:`propose` for one order."""
    if order is None:
        mass = allowed.logsumexp(-1, keepdim=True).clamp_(min=torch.finfo(allowed.dtype).min)
        return (allowed - mass).exp_()
    columns = torch.tensor([*order, len(order)], device=log_probs.device)
    probs = log_probs.index_select(1, columns).exp_()  # by place, END last
    left = probs.flip(-1).cumsum(-1).flip(-1)  # that it is this token or one behind
    behind = torch.cat([left[:, 1:], torch.zeros_like(left[:, :1])], -1)
    may = allowed.index_select(1, columns) > NEVER
    answers = may & (left > 0)  # the places whose answer is drawn
    passed = torch.where(answers, behind / left, 1.0).cumprod(-1)
    passed = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], -1)  # before this place
    found = torch.where(answers, passed * (probs / left), 0.0)
    # The last token allowed is the only one left when it is asked about.
    places = torch.arange(len(columns), device=may.device)
    last = torch.where(may, places, 0).amax(-1, keepdim=True)
    found.scatter_(1, last, torch.where(may, passed, 0.0).gather(1, last))
    return torch.empty_like(found).index_copy_(1, columns, found)


def tokens_at(probs: Tensor, rows: Tensor, uniform: Tensor) -> Tensor:
    """The first token whose cumulated probability is above a uniform number, by bisection.

    Args:
        probs: (M, V).
        rows: (P,) int64, which row each number is looked up in.
        uniform: (P,) float64 in [0, 1].
    """
    cumulated = (probs * UNITS).long().cumsum_(-1)
    width = cumulated.shape[1]
    total = cumulated[:, -1][rows]
    goal = torch.minimum((uniform * total).long(), (total - 1).clamp(min=0))
    flat, start = cumulated.view(-1), rows * width
    low, high = torch.zeros_like(rows), torch.full_like(rows, width - 1)
    for _ in range((width - 1).bit_length()):
        middle = (low + high) // 2
        above = flat[start + middle] > goal
        high = torch.where(above, middle, high)
        low = torch.where(above, low, middle + 1).minimum(high)
    return high
