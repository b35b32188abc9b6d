# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Constraints of a call, in class names or ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from typing import Any

from ..datasets.label_checks import suggestion
from ..errors import UsageError
from ..search import Constraints

__all__ = ['name_constraints', 'spread_constraints']

LISTS = ('required', 'forbidden', 'prefix', 'order')


def name_constraints(given: Any, classes: Sequence[str], base: Constraints) -> dict[str, Any]:
    """Constraints with class ids, checked.

    Args:
        given: A mapping of any of the arguments of :class:`cnnrnn_mm.search.Constraints`; each
            label is a class name or an id.
        classes: The names.
        base: The constraints that they are added to.

    Raises:
        UsageError: If a constraint or a label is unknown, or they contradict each other or the
            model's.
    """
    known = [one.name for one in fields(Constraints)]
    if not isinstance(given, Mapping):
        raise UsageError(
            f"constraints are {given!r}: give a mapping, such as dict(required=['{classes[0]}'])"
        )
    ids: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise UsageError(f'constraint {key!r} is not known: {suggestion(str(key), known)}')
        if value is None:
            continue
        if key in LISTS:
            value = _ids(key, value, classes)
        elif key == 'exclusive':
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise UsageError(f'exclusive is {value!r}: give groups of labels, as lists')
            value = [_ids(key, group, classes) for group in value]
        ids[key] = value
    try:
        base.merged(**ids).check(len(classes))
    except UsageError as error:
        used = {one for key in LISTS[:3] for one in ids.get(key, ()) if isinstance(one, Integral)}
        meant = sorted(used & set(range(len(classes))))
        names = ', '.join(f'{one} is {classes[int(one)]}' for one in meant)
        raise UsageError(f'{error} ({names})' if names else str(error)) from None
    return ids


def spread_constraints(
    given: Mapping | Sequence[Mapping | None] | None,
    classes: Sequence[str],
    base: Constraints,
    count: int,
) -> list[dict[str, Any]] | None:
    """The constraints of each of ``count`` photos; None where there are none.

    Args:
        given: One mapping for all photos, or a list with one or None for each.
        classes: As in :func:`name_constraints`.
        base: Likewise.
        count: Photos.

    Raises:
        UsageError: As :func:`name_constraints`, or if the list has another length.
    """
    if given is None:
        return None
    if isinstance(given, Mapping) or not isinstance(given, (list, tuple)):
        return [name_constraints(given, classes, base)] * count
    if len(given) != count:
        raise UsageError(
            f'there are {len(given)} constraints for {count} photos: give one for all, or one for '
            'each'
        )
    return [{} if one is None else name_constraints(one, classes, base) for one in given]


def _ids(key: str, labels: Any, classes: Sequence[str]) -> list[int]:
    """Class ids of names and ids."""
    if isinstance(labels, (str, bytes)) or not hasattr(labels, '__iter__'):
        raise UsageError(f'{key} is {labels!r}: give a list of class names or ids')
    found = []
    for label in labels:
        if not isinstance(label, str):
            found.append(label)  # checked where it is used
        elif label in classes:
            found.append(classes.index(label))
        else:
            raise UsageError(
                f'{key} holds {label!r}, which is no class: {suggestion(label, classes)}'
            )
    return found
