# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a path may hold, as a user says it. :mod:`.rules` turns it into masks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from ..errors import UsageError

__all__ = ['Constraints']


@dataclass(frozen=True)
class Constraints:
    """Limits on the label paths of an image. Labels are class ids 0..C-1.

    A path never holds a label twice; that needs no constraint.

    Args:
        required: Labels that every path must hold.
        forbidden: Labels that no path may hold.
        exclusive: Groups of labels of which a path may hold at most one, e.g. ``[(0, 1)]``.
        prefix: How the path begins: "these labels are known, what else?".
        order: All class ids; the labels of a path must stand in this order (as the training order
            left them), so that each label set has exactly one path. None for any order.
        min_length: Least number of labels, the prefix included.
        max_length: Most labels; None or anything above C means C. The paper's protocol of k labels
            an image is ``min_length = max_length = k``.

    Raises:
        UsageError: From :meth:`check`, where they contradict each other or the model.
    """

    required: Sequence[int] = ()
    forbidden: Sequence[int] = ()
    exclusive: Sequence[Sequence[int]] = ()
    prefix: Sequence[int] = ()
    order: Sequence[int] | None = None
    min_length: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Make everything hashable, whatever sequences were given."""
        for name in ('required', 'forbidden', 'prefix'):
            object.__setattr__(self, name, _labels(name, getattr(self, name)))
        groups = tuple(
            _labels('exclusive', group) for group in _sequence('exclusive', self.exclusive)
        )
        object.__setattr__(self, 'exclusive', groups)
        for name in ('min_length', 'max_length'):
            value = getattr(self, name)
            if not (value is None and name == 'max_length'):
                object.__setattr__(self, name, _whole_number(f'{name} is', value))
        if self.order is not None:
            object.__setattr__(self, 'order', _labels('order', self.order))

    def merged(self, **changes: Any) -> 'Constraints':
        """These constraints with further ones: labels and groups are added, the rest replaced."""
        unknown = set(changes) - {field.name for field in fields(self)}
        if unknown:
            raise UsageError(
                f'constraint {sorted(unknown)[0]!r} is not known: choose from '
                f'{", ".join(field.name for field in fields(self))}'
            )
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in changes.items():
            adds = name in ('required', 'forbidden', 'exclusive')
            values[name] = (*values[name], *value) if adds else value
        return Constraints(**values)

    def most_labels(self, num_labels: int) -> int:
        """The effective ``max_length``."""
        return num_labels if self.max_length is None else min(self.max_length, num_labels)

    def partners(self) -> dict[int, set[int]]:
        """For each label of an exclusive group the labels that it excludes."""
        found: dict[int, set[int]] = {}
        for group in self.exclusive:
            for label in group:
                found.setdefault(label, set()).update(set(group) - {label})
        return found

    def check(self, num_labels: int) -> None:
        """Raise ``UsageError`` for what no path over ``num_labels`` labels can meet.

        Exclusive groups are checked against required labels and prefix alone: whether many
        overlapping groups leave ``min_length`` labels is found out by the search.
        """
        for name in ('required', 'forbidden', 'prefix', 'order'):
            _check_range(name, getattr(self, name) or (), num_labels)
        for group in self.exclusive:
            _check_range('exclusive', group, num_labels)
        self._check_order(num_labels)
        self._check_labels()
        self._check_lengths(num_labels)

    def _check_order(self, num_labels: int) -> None:
        if self.order is None:
            return
        if len(self.order) != num_labels or len(set(self.order)) != num_labels:
            raise UsageError(
                f'order has {len(set(self.order))} distinct labels of {num_labels}: list every '
                'class id once'
            )
        places = [self.order.index(label) for label in self.prefix]
        if places != sorted(places):
            raise UsageError(
                f'prefix {list(self.prefix)} is not in the canonical order: give its labels in the '
                'order of training, or leave order out'
            )
        late = [x for x in self._open() if places and self.order.index(x) < places[-1]]
        if late:
            raise UsageError(
                f'required label {late[0]} comes before prefix label {self.prefix[-1]} in the '
                'canonical order: put it into the prefix, or leave order out'
            )

    def _check_labels(self) -> None:
        twice = [label for label in self.prefix if self.prefix.count(label) > 1]
        if twice:
            raise UsageError(f'prefix label {twice[0]} comes twice: list each label once')
        wanted = dict.fromkeys(self.required, 'required') | dict.fromkeys(
            self.prefix, 'in the prefix'
        )
        for label in self.forbidden:
            if label in wanted:
                raise UsageError(
                    f'label {label} is forbidden and {wanted[label]}: remove it from one of them'
                )
        for label, excluded in self.partners().items():
            both = sorted(excluded & set(wanted))
            if label in wanted and both:
                raise UsageError(
                    f'labels {label} and {both[0]} exclude each other, but both are wanted '
                    f'({wanted[label]}, {wanted[both[0]]}): remove one of them'
                )

    def _check_lengths(self, num_labels: int) -> None:
        most, wanted = self.most_labels(num_labels), len(self.prefix) + len(self._open())
        if not 0 <= self.min_length <= most:
            raise UsageError(
                f'min_length is {self.min_length} and max_length is {most} with {num_labels} '
                'labels: they must satisfy 0 <= min_length <= max_length, since no label comes '
                'twice'
            )
        if wanted > most:
            raise UsageError(
                f'max_length is {most}, but prefix and required labels are {wanted}: raise '
                'max_length or ask for fewer labels'
            )
        left = set(range(num_labels)) - self.banned()
        if self.min_length > len(self.prefix) + len(left):
            raise UsageError(
                f'min_length is {self.min_length}, but only {len(self.prefix) + len(left)} of '
                f'{num_labels} labels are left by the other constraints: lower it, or forbid less'
            )

    def banned(self) -> set[int]:
        """Labels that can't come after the prefix, whatever else does; prefix labels included."""
        partners, wanted = self.partners(), {*self.prefix, *self.required}
        banned = {*self.forbidden, *self.prefix}
        banned.update(*(partners.get(label, ()) for label in wanted))
        if self.order is not None and self.prefix:
            last = self.order.index(self.prefix[-1])
            banned.update(self.order[:last])
        return banned

    def _open(self) -> list[int]:
        """Required labels that the prefix does not hold."""
        return sorted(set(self.required) - set(self.prefix))


def _labels(name: str, values: Sequence[int]) -> tuple[int, ...]:
    return tuple(_whole_number(f'{name} holds', value) for value in _sequence(name, values))


def _sequence(name: str, values: Sequence) -> list:
    try:
        if not isinstance(values, (str, bytes)):
            return list(values)
    except TypeError:
        pass
    raise UsageError(f'{name} is {values!r}: give a list of class ids')


def _whole_number(where: str, value: object) -> int:
    number = value.item() if hasattr(value, 'item') else value
    if not isinstance(number, Integral) or isinstance(number, bool):
        raise UsageError(f'{where} {number!r}: give whole numbers from 0 on')
    return int(number)


def _check_range(name: str, values: Sequence[int], num_labels: int) -> None:
    for value in values:
        if not 0 <= value < num_labels:
            raise UsageError(
                f'{name} holds label {value}, which is outside 0..{num_labels - 1}: correct it'
            )
