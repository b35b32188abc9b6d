# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Checks on label sets that were read from a file; each raises one line that names the place.

The checks look at whole columns first and at single images only when something is wrong, so that
those of 200,000 images take less than a second. Axis letters: n images, C classes.
"""

import difflib
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from ..errors import UsageError
from .boxes import ObjectBoxes, have_area

__all__ = [
    'check_areas',
    'check_boxes',
    'check_choice',
    'check_class_names',
    'check_ids',
    'check_paths',
    'leaves_folder',
    'suggestion',
]

#: Absolute on Linux or Windows, with a drive, or with '..' as one of its parts.
OUTSIDE = re.compile(r'[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|\Z)', re.DOTALL)

#: Kinds of characters that steer a terminal or end a line, instead of being shown.
UNPRINTED = ('Cc', 'Cs', 'Zl', 'Zp')


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ``UsageError`` where the argument ``name`` is none of the choices."""
    if value not in choices:
        raise UsageError(f'{name}={value!r} is unknown: choose one of {", ".join(choices)}')


def suggestion(name: str, known: Iterable[str], shown: int = 10) -> str:
    """What a name that is not known may mean: its near matches, else the first known names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, cutoff=0.6)
    if near:
        return f'did you mean {" or ".join(map(repr, near))}?'
    tail = ', ...' if len(known) > shown else ''
    return f'known are {", ".join(known[:shown])}{tail}'


def leaves_folder(path: str) -> bool:
    """Whether a path is empty, absolute, or climbs out of the folder it is relative to."""
    return not path or '\0' in path or OUTSIDE.match(path) is not None


def check_class_names(classes: Sequence[str], source: str) -> None:
    """Raise ``UsageError`` unless there are classes, each with a printable name of its own."""
    if not classes:
        raise UsageError(f'{source} names no class: a class list is needed')
    seen: dict[str, int] = {}
    for number, name in enumerate(classes):
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f'{source}: class {number} has no name: {name!r}: name each class')
        if any(unicodedata.category(one) in UNPRINTED for one in name):
            raise UsageError(
                f'{source}: class {number} is {name!r}, with a control character: remove it'
            )
        if name in seen:
            raise UsageError(
                f"{source}: class name '{name}' comes twice, as {seen[name]} and {number}: list "
                'each class once'
            )
        seen[name] = number


def check_paths(
    paths: Sequence[str], source: str, where: Callable[[int], str], rooted: bool = True
) -> None:
    """Raise ``UsageError`` for a path that leaves the image folder or comes twice.

    Args:
        paths: n image paths.
        source: What was read, for the message.
        where: Gives the place of an image for its row.
        rooted: Whether there is an image folder that a path could leave.
    """
    if not set(map(type, paths)) <= {str} or not all(paths):
        row = next(row for row, path in enumerate(paths) if not isinstance(path, str) or not path)
        raise UsageError(
            f'{source}: {where(row)} has {paths[row]!r} as its image path: give a path'
        )
    text = '\n'.join(paths)
    if rooted and ('\0' in text or any(map(OUTSIDE.match, paths))):
        row = next(row for row, path in enumerate(paths) if leaves_folder(path))
        raise UsageError(
            f'{source}: image path {paths[row]!r} ({where(row)}) leaves the image folder: give '
            'paths below it'
        )
    if './' in text or '//' in text:  # './a.jpg' and 'a.jpg' are one image
        paths = [posixpath.normpath(path) for path in paths]
    if len(set(paths)) < len(paths):
        seen: dict[str, int] = {}
        row = next(row for row, path in enumerate(paths) if seen.setdefault(path, row) != row)
        raise UsageError(
            f'{source}: image {paths[row]} is listed twice, as {where(seen[paths[row]])} and '
            f'{where(row)}: merge their labels into one'
        )


def check_ids(
    column: Sequence[Sequence[int]], num_classes: int, name: Callable[[int], str]
) -> None:
    """Raise ``UsageError`` unless all labels are classes, and ascending and distinct in each image.

    Args:
        column: n sequences of class ids.
        num_classes: C.
        name: Gives the words for an image, with its place, for its row.
    """
    flat = list(chain.from_iterable(column))
    if not flat:
        return
    rows = np.repeat(np.arange(len(column)), [len(ids) for ids in column])
    # Python integers of any size are compared before they go into an array.
    if not set(map(type, flat)) <= {int} or min(flat) < 0 or max(flat) >= num_classes:
        at = next(
            at
            for at, label in enumerate(flat)
            if type(label) is not int or not 0 <= label < num_classes
        )
        wrong = f'is outside 0..{num_classes - 1}' if type(flat[at]) is int else 'is no integer'
        raise UsageError(
            f'{name(rows[at])}: label {flat[at]!r} {wrong}: correct the annotation or the class '
            'list'
        )
    falls = (np.diff(np.array(flat)) <= 0) & (np.diff(rows) == 0)
    if falls.any():
        row = rows[falls.argmax()]
        raise UsageError(
            f'{name(row)}: its labels {list(column[row])} are not ascending and distinct: list '
            'each label once, in ascending order'
        )


def check_areas(
    areas: Sequence[dict[int, float]],
    labels: Sequence[Sequence[int]],
    difficult: Sequence[Sequence[int]] | None,
    name: Callable[[int], str],
) -> None:
    """Raise ``UsageError`` unless each area belongs to a label of its image and is in (0, 1]."""
    for row, shares in enumerate(areas):
        known = labels[row] if difficult is None else (*labels[row], *difficult[row])
        for label, share in shares.items():
            if label not in known:
                raise UsageError(f'{name(row)}: an area for label {label}, which it has not')
            if not 0 < share <= 1:
                raise UsageError(
                    f'{name(row)}: label {label} covers {share} of it: shares are in (0, 1]'
                )


def check_boxes(
    boxes: Sequence[ObjectBoxes], labels: Sequence[Sequence[int]], name: Callable[[int], str]
) -> None:
    """Raise ``UsageError`` unless each box has an area and belongs to a label of its image."""
    for row, (edges, ids) in enumerate(boxes):
        if edges.shape != (len(ids), 4):
            raise UsageError(
                f'{name(row)}: boxes of shape {edges.shape} for {len(ids)} objects: give four '
                'numbers for each'
            )
        unknown = set(ids.tolist()).difference(labels[row])
        if unknown:
            raise UsageError(f'{name(row)}: a box for label {min(unknown)}, which it has not')
        # NaN fails every comparison.
        bad = ~have_area(edges) | ~(edges >= 0).all(1)
        if bad.any():
            raise UsageError(
                f'{name(row)}: box {edges[bad.argmax()].tolist()} has no area or starts outside '
                'the image: give x1, y1, x2, y2 in pixels'
            )
