# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Constraints of a batch of images as masks over the next labels.

Axis letters: N images, A of them in a step, W hypotheses of each, R distinct constraints, C labels,
T labels of the longest hypothesis, P labels that one label bars, itself included.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from ..errors import UsageError
from .constraints import Constraints
from .types import NEVER, State, StepFunction

__all__ = ['Hypotheses', 'Rules']

FREE = Constraints()


class Hypotheses:
    """Prefixes that are about to be expanded, as the rules see them.

    Args:
        paths: (A, W, T) int64, their labels without a given prefix; where a path is shorter its
            last label is repeated.
        lengths: How many labels they have, a given prefix not counted: (A, 1) int64, or one number.
        images: (A,) int64, the images they belong to.
        rows: (N,) int64, which of the R constraints holds for each image.
    """

    def __init__(self, paths: Tensor, lengths: Tensor | int, images: Tensor, rows: Tensor) -> None:
        self.paths = paths
        self._lengths, self._images, self._rows = lengths, images, rows

    # Most searches have no constraint that asks for these.

    @cached_property
    def lengths(self) -> Tensor:
        """(A, 1) or (1, 1) int64, how many labels they have."""
        return torch.as_tensor(self._lengths, device=self.paths.device).view(-1, 1)

    @cached_property
    def rows(self) -> Tensor:
        """(A,) int64, which of the R constraints holds for each image."""
        return self._rows[self._images]


#: ``rule(labels (A, W, C), ends (A, W), hypotheses)`` writes -inf where it forbids to go on.
Rule = Callable[[Tensor, Tensor, Hypotheses], None]


class Rules:
    """The constraints of N images, ready for a search.

    Only the masks that some image needs are made: without constraints the one rule is that no label
    comes twice.

    Args:
        constraints: One for all images, one for each, or None.
        num_images: N.
        num_labels: C.
        device: Where the search runs.

    Attributes:
        prefixes: N label tuples.
        rows: (N,) int64, the constraint of each image.
        required: (R, C) bool, labels that must still come after the prefix; None if there are none.
        max_length: Most labels after the prefix, over all images.
    """

    def __init__(
        self,
        constraints: Constraints | Sequence[Constraints] | None,
        num_images: int,
        num_labels: int,
        device: torch.device,
    ) -> None:
        if num_labels < 1:
            raise UsageError(f'num_labels is {num_labels}: there must be at least one label')
        if constraints is None or isinstance(constraints, Constraints):
            distinct = (constraints or FREE,)
            self.rows = torch.zeros(num_images, dtype=torch.long, device=device)
            self.prefixes = [distinct[0].prefix] * num_images
        else:
            if len(constraints) != num_images:
                raise UsageError(
                    f'{len(constraints)} constraints for {num_images} images: give one for each, '
                    'or one for all'
                )
            objects = {id(one): one for one in constraints}  # hashing an order takes long
            distinct = tuple(dict.fromkeys(objects.values()))
            index_of = {one: index for index, one in enumerate(distinct)}
            place = {key: index_of[one] for key, one in objects.items()}
            self.rows = torch.tensor([place[id(one)] for one in constraints], device=device)
            self.prefixes = [one.prefix for one in constraints]
        self.rules, self.required, self.max_length = _compile(distinct, num_labels, device)

    def apply_(self, labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        """Write -inf into ``labels`` (A, W, C) and ``ends`` (A, W) where no path may go on."""
        for rule in self.rules:
            rule(labels, ends, hypotheses)

    def feed_prefixes(
        self, step: StepFunction, state: State, start_tokens: Tensor
    ) -> tuple[Tensor, State]:
        """Read START and all but the last label of each prefix.

        Shorter prefixes begin later, so that all end with the same step: whatever stands behind
        ``step`` may then forget every state that was not part of the last one, the first apart.

        Returns:
            What is fed next (N,): the last label of a prefix, START where there is none. And the
            state before it.
        """
        tokens = start_tokens
        for ahead in range(max(map(len, self.prefixes), default=0), 0, -1):
            begun = [i for i, prefix in enumerate(self.prefixes) if len(prefix) >= ahead]
            rows = torch.tensor(begun, device=tokens.device)
            _, fed = step(tokens[rows], tuple(part[rows] for part in state))
            state = tuple(
                part.index_copy(0, rows, new) for part, new in zip(state, fed, strict=True)
            )
            given = [self.prefixes[i][len(self.prefixes[i]) - ahead] for i in begun]
            tokens = tokens.index_copy(0, rows, tokens.new_tensor(given))
        return tokens, state


@lru_cache(maxsize=64)
def _compile(
    distinct: tuple[Constraints, ...], num_labels: int, device: torch.device
) -> tuple[tuple[Rule, ...], Tensor | None, int]:
    """The rules, the mask of required labels, and the most labels after a prefix."""
    for one in distinct:
        one.check(num_labels)
    rules: list[Rule] = [_no_repetition(distinct, num_labels, device)]
    banned = torch.zeros(len(distinct), num_labels, dtype=torch.bool)
    required = torch.zeros_like(banned)
    for row, one in enumerate(distinct):
        banned[row, sorted(one.banned())] = True
        required[row, sorted({*one.required} - {*one.prefix})] = True
    banned, required = banned.to(device), required.to(device)
    least = torch.tensor([one.min_length - len(one.prefix) for one in distinct], device=device)
    most = torch.tensor(
        [one.most_labels(num_labels) - len(one.prefix) for one in distinct], device=device
    )
    if bool(banned.any()):
        rules.append(_ban(banned))
    if any(one.order is not None for one in distinct):
        rules.append(_canonical(distinct, num_labels, banned, required, least))
    if any(one.min_length > 0 or one.max_length is not None for one in distinct):
        rules.append(_limit(least, most))
    if not bool(required.any()):
        return tuple(rules), None, int(most.max())
    rules.append(_require(required, most))
    return tuple(rules), required, int(most.max())


def _no_repetition(
    distinct: tuple[Constraints, ...], num_labels: int, device: torch.device | str
) -> Rule:
    """A label bars itself, and the labels that exclude it."""
    excluded = [one.partners() for one in distinct]
    width = 1 + max((len(p) for one in excluded for p in one.values()), default=0)
    if width == 1:

        def bar_itself(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
            labels.scatter_(2, hypotheses.paths, NEVER)

        return bar_itself
    barred = torch.arange(num_labels).view(1, -1, 1).repeat(len(distinct), 1, width)  # (R, C, P)
    for row, partners in enumerate(excluded):
        for label, others in partners.items():
            barred[row, label, 1 : 1 + len(others)] = torch.tensor(sorted(others))
    barred = barred.to(device)

    def bar_all(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        found = barred[hypotheses.rows.view(-1, 1, 1), hypotheses.paths]  # (A, W, T, P)
        labels.scatter_(2, found.flatten(2), NEVER)

    return bar_all


def _ban(banned: Tensor) -> Rule:
    def rule(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        labels.masked_fill_(banned[hypotheses.rows].unsqueeze(1), NEVER)

    return rule


def _limit(least: Tensor, most: Tensor) -> Rule:
    def rule(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        rows = hypotheses.rows.unsqueeze(1)  # (A, 1)
        ends.masked_fill_(hypotheses.lengths < least[rows], NEVER)
        labels.masked_fill_((hypotheses.lengths >= most[rows]).unsqueeze(-1), NEVER)

    return rule


def _require(required: Tensor, most: Tensor) -> Rule:
    """No END while a required label is missing, nor another label once the room is just enough."""
    total = required.sum(-1)

    def rule(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        rows = hypotheses.rows.unsqueeze(1)  # (A, 1)
        missing = total[rows] - count_required(required, hypotheses)  # (A, W)
        ends.masked_fill_(missing > 0, NEVER)
        tight = most[rows] - hypotheses.lengths <= missing
        labels.masked_fill_(tight.unsqueeze(-1) & ~required[rows], NEVER)

    return rule


def count_required(required: Tensor, hypotheses: Hypotheses) -> Tensor:
    """(A, W): how many of the required labels (R, C) each hypothesis holds."""
    places = torch.arange(hypotheses.paths.shape[-1], device=hypotheses.paths.device)
    real = places < hypotheses.lengths.unsqueeze(-1)  # not the repeated last labels
    return (required[hypotheses.rows.view(-1, 1, 1), hypotheses.paths] & real).sum(-1)


def _canonical(
    distinct: tuple[Constraints, ...],
    num_labels: int,
    banned: Tensor,
    required: Tensor,
    least: Tensor,
) -> Rule:
    """Only labels behind the last one, and none that would leave a dead end.

    A dead end is a label behind a missing required one, or one with too few labels behind it to
    reach the least length. Rows without an order have every label at place 0 and a last place of
    -1, where nothing is behind anything.
    """
    device = banned.device
    place = torch.zeros(len(distinct), num_labels, dtype=torch.long)
    last_place = torch.full_like(place, -1)
    follow = torch.full_like(place, num_labels)  # labels that can come after each
    for row, one in enumerate(distinct):
        if one.order is not None:
            order = torch.tensor(one.order)
            place[row, order] = torch.arange(num_labels)
            last_place[row] = place[row]
            allowed = (~banned[row].cpu())[order].long()
            follow[row, order] = allowed.flip(0).cumsum(0).flip(0) - allowed
    place, last_place, follow = place.to(device), last_place.to(device), follow.to(device)

    def rule(labels: Tensor, ends: Tensor, hypotheses: Hypotheses) -> None:
        rows, paths = hypotheses.rows.unsqueeze(1), hypotheses.paths  # (A, 1), (A, W, T)
        places = place[rows]  # (A, 1, C)
        short = follow[rows] < (least[rows] - hypotheses.lengths - 1).unsqueeze(-1)
        labels.masked_fill_(short, NEVER)
        missing = required[rows].expand_as(labels)
        if paths.shape[-1] > 0:
            last = last_place[rows].expand_as(labels).gather(2, paths[..., -1:])
            labels.masked_fill_(places <= last, NEVER)
            missing = missing.scatter(2, paths, 0)  # a bool could not be traced
        first_missing = places.masked_fill(~missing, num_labels).amin(-1, keepdim=True)
        labels.masked_fill_(places > first_missing, NEVER)

    return rule
