# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The probability of a label set: the sum over the orders in which a path can name it.

Axis letters: N images, S labels of the largest set, W prefixes of an image, C labels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UsageError
from .constraints import Constraints
from .rules import Rules
from .types import NEVER, NonFiniteScoresError, State, StepFunction

__all__ = ['set_log_probs']


@torch.no_grad()
def set_log_probs(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    sets: Sequence[Sequence[int]],
    constraints: Constraints | Sequence[Constraints] | None = None,
    max_prefixes: int = 720,
) -> tuple[Tensor, Tensor]:
    """Bounds of log P(label set given image) for one set of each image.

    P(set) is the sum of equation (6) over all paths that name each label of the set once and
    nothing else: n! paths for n labels, or n!/p! that start with a given prefix of p labels in that
    order, conditional on it. With a canonical order there is exactly one path.

    Prefixes are extended together, the most probable first. Up to ``max_prefixes`` of an image all
    are kept and both bounds are the exact value: six labels with 720. Of larger sets the mass of
    the prefixes that were dropped is the distance between the bounds, since what a prefix can
    still give is at most its own probability.

    Args:
        step: The model: ``step(tokens (M,), state) -> (log_probs (M, V), state)``.
        state: The state before the first step, each tensor with first axis N.
        start_tokens: (N,) int64, what ``step`` is fed first.
        num_labels: C; token C is END.
        sets: N lists of distinct labels, prefix labels among them.
        constraints: ``prefix`` and ``order`` are used; the rest is not.
        max_prefixes: Most prefixes of an image to keep.

    Returns:
        Lower and upper bounds, each (N,), natural log.

    Raises:
        UsageError: If a set has a label outside 0..C-1 or one twice, or lacks a prefix label.
        NonFiniteScoresError: If the model gives NaN.
    """
    num_images, device = len(start_tokens), start_tokens.device
    if max_prefixes < 1:
        raise UsageError(f'max_prefixes is {max_prefixes}: set it to 1 or more')
    if constraints is None or isinstance(constraints, Constraints):
        limits = [constraints or Constraints()] * num_images
    else:
        limits = list(constraints)
    for what, given in (('label sets', sets), ('constraints', limits)):
        if len(given) != num_images:
            raise UsageError(f'{len(given)} {what} for {num_images} images: give one for each')
    limits = [Constraints(prefix=one.prefix, order=one.order) for one in limits]
    open_labels = [_open(labels, one, num_labels) for labels, one in zip(sets, limits, strict=True)]
    tokens, state = Rules(limits, num_images, num_labels, device).feed_prefixes(
        step, state, start_tokens
    )
    sizes = torch.tensor([len(labels) for labels in open_labels], device=device)
    longest = max(map(len, open_labels), default=0)
    labels = torch.zeros((num_images, longest), dtype=torch.long, device=device)
    for row, one in enumerate(open_labels):
        labels[row, : len(one)] = torch.tensor(one, dtype=torch.long)
    ordered = torch.tensor([one.order is not None for one in limits], device=device)
    places = torch.arange(longest, device=device)

    lower = torch.full((num_images,), NEVER, device=device)
    dropped = torch.full_like(lower, NEVER)
    scores = torch.zeros((num_images, 1), device=device)  # (N, W)
    used = (places >= sizes.unsqueeze(-1)).unsqueeze(1)  # (N, W, S)
    for length in range(longest + 1):
        log_probs, state = step(tokens, state)
        log_probs = log_probs.float().view(num_images, scores.shape[1], num_labels + 1)
        ended = (scores + log_probs[..., num_labels]).logsumexp(1)
        lower = torch.where(sizes == length, ended, lower)
        if length == longest:
            break
        index = labels.unsqueeze(1).expand(-1, scores.shape[1], -1)
        children = log_probs.gather(-1, index) + scores.unsqueeze(-1)  # (N, W, S)
        children.masked_fill_(used, NEVER)
        out_of_turn = ordered.unsqueeze(-1) & (places != length)
        children.masked_fill_(out_of_turn.unsqueeze(1), NEVER)
        sorted_children, flat = children.flatten(1).sort(descending=True)
        scores, flat = sorted_children[:, :max_prefixes], flat[:, :max_prefixes]
        lost = sorted_children[:, max_prefixes:].logsumexp(1)
        dropped = torch.logaddexp(dropped, lost)
        parents, place = flat.div(longest, rounding_mode='floor'), flat % longest
        width = used.shape[1]
        used = used.gather(1, parents.unsqueeze(-1).expand(-1, -1, longest))
        used = used.scatter(-1, place.unsqueeze(-1), True)
        tokens = labels.gather(1, place).flatten()
        source = torch.arange(num_images, device=device).unsqueeze(-1) * width + parents
        state = tuple(part[source.flatten()] for part in state)
    if bool(lower.isnan().any()):
        raise NonFiniteScoresError(lower.isnan().nonzero().flatten().tolist())
    return lower, torch.logaddexp(lower, dropped).clamp(max=0.0).maximum(lower)


def _open(labels: Sequence[int], limits: Constraints, num_labels: int) -> list[int]:
    """The labels behind the prefix, in the canonical order if there is one."""
    # The set as constraints: required, and what is wrong with them is said there.
    labels = Constraints(required=labels).required
    for label in labels:
        if not 0 <= label < num_labels:
            raise UsageError(f'label {label} of a set is outside 0..{num_labels - 1}: correct it')
    if len(set(labels)) != len(labels):
        raise UsageError(f'label set {list(labels)} holds a label twice: list each once')
    absent = [label for label in limits.prefix if label not in labels]
    if absent:
        raise UsageError(f'label set {list(labels)} lacks label {absent[0]} of the prefix: add it')
    limits.merged(required=labels).check(num_labels)
    rest = [label for label in labels if label not in limits.prefix]
    return rest if limits.order is None else sorted(rest, key=limits.order.index)
