# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from a COCO instances file. Axis letters: n images, C classes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..boxes import ObjectBoxes
from ..class_list import class_list
from ..label_checks import check_choice, suggestion
from ..label_table import LabelTable
from .box_column import BoxColumn
from .coco_file import CocoFile, CocoObject, CocoPhoto, load_coco_file

__all__ = ['read_coco']

KEEP_OR_DROP = ('keep', 'drop')


def read_coco(
    path: str | Path,
    classes: Sequence[str] | str | None = None,
    crowd: str = 'keep',
    empty: str = 'keep',
    boxes: bool = False,
) -> LabelTable:
    """Read which categories each image shows.

    Class ids count the categories in ascending order of their ids, which have holes in COCO (80
    categories, ids 1 to 90), or follow ``classes``.

    Args:
        path: An instances file, of 2014, 2017 or in their layout.
        classes: Names of the categories to take, in the order of the class ids, or a file with one
            a line; None for all. Objects of the others are passed over.
        crowd: Whether the objects with ``iscrowd=1``, which stand for a group, count as labels:
            'keep' (as in the literature: a photo of a crowd shows people) or 'drop'.
        empty: Whether images that are left without a label stay in the table: 'keep' or 'drop'.
        boxes: Whether to keep the boxes, too. Those of crowds are left out in any case: they are
            around no single object.

    Returns:
        The images in the file's order, with the areas of the labels' largest objects, clipped to
        the image. Where an object has no box or an image no size, there is no area.

    Raises:
        UsageError: If the file can't be used; the message names the entry.
    """
    check_choice('crowd', crowd, KEEP_OR_DROP)
    check_choice('empty', empty, KEEP_OR_DROP)
    chosen = class_list(classes)
    file = load_coco_file(path, any_kind=chosen is not None)
    names, class_ids = _class_ids(file, chosen)
    rows = _rows(file)
    areas: list[dict[int, float]] = [{} for _ in file.photos]
    objects: list[list] = [[] for _ in file.photos] if boxes else []
    for number, one in enumerate(file.objects):
        row = _lookup(rows, one.image_id)
        if row is None or _lookup(file.categories, one.category_id) is None:
            raise _unknown(file, number, one, row)
        share = _share(one, file.photos[row])
        if share is None:
            raise UsageError(
                f'{file.path}: entry {number} of annotations has bbox {one.bbox}, not four finite '
                'numbers x, y, width and height, the last two not negative: correct the box'
            )
        label = _lookup(class_ids, one.category_id)
        if label is not None and (crowd == 'keep' or not one.iscrowd):
            areas[row][label] = max(share, areas[row].get(label, 0.0))
            if boxes and not one.iscrowd:
                objects[row].append((label, _edges(one)))
    table = LabelTable(
        source=file.path,
        classes=names,
        img_paths=[photo.file_name for photo in file.photos],
        labels=[tuple(sorted(shares)) for shares in areas],
        areas=[
            {label: shares[label] for label in sorted(shares) if shares[label]} for shares in areas
        ],
        boxes=_clipped(file, objects) if boxes else None,
    )
    return table.without_empty() if empty == 'drop' else table


def _class_ids(
    file: CocoFile, chosen: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Class names, and {category id: class id} for the categories that are classes."""
    names = tuple(file.categories.values()) if chosen is None else chosen
    by_name = {name: key for key, name in file.categories.items()}
    if len(by_name) < len(file.categories):
        twice = next(name for key, name in file.categories.items() if by_name[name] != key)
        raise UsageError(
            f"{file.path}: two categories have the name '{twice}': give each a name of its own"
        )
    for name in names:
        if name not in by_name:
            raise UsageError(
                f"{file.path} has no category '{name}' of the class list: "
                f'{suggestion(name, by_name)}'
            )
    return names, {by_name[name]: label for label, name in enumerate(names)}


def _rows(file: CocoFile) -> dict[int | str, int]:
    """{image id: row}."""
    rows: dict[int | str, int] = {}
    for row, photo in enumerate(file.photos):
        if not isinstance(photo.id, (int, str)):
            raise UsageError(
                f'{file.path}: entry {row} of images ({photo.file_name}) has id {photo.id!r}: '
                'give it an integer'
            )
        if not (_is_size(photo.width) and _is_size(photo.height)):
            raise UsageError(
                f'{file.path}: entry {row} of images ({photo.file_name}) has width '
                f'{photo.width!r} and height {photo.height!r}: give both in pixels, or neither'
            )
        if rows.setdefault(photo.id, row) != row:
            raise UsageError(
                f'{file.path}: entries {rows[photo.id]} and {row} of images both have id '
                f'{photo.id!r}: list each image once'
            )
    return rows


def _is_size(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and 0 <= value < math.inf)


def _lookup(table: dict, key: object) -> Any:
    """``table.get(key)``, also for what can be no key."""
    try:
        return table.get(key)
    except TypeError:
        return None


def _unknown(file: CocoFile, number: int, one: CocoObject, row: int | None) -> UsageError:
    """The error for an annotation whose image or category the file does not list."""
    if row is None:
        key, value, part = 'image_id', one.image_id, 'images'
    else:
        key, value, part = 'category_id', one.category_id, 'categories'
    return UsageError(
        f'{file.path}: entry {number} of annotations has {key} {value!r}, which is not in {part}: '
        f'add it to {part} or remove the annotation'
    )


def _share(one: CocoObject, photo: CocoPhoto) -> float | None:
    """The share of the image that the object's box covers; None where the box makes no sense."""
    if one.bbox is None:
        return 0.0
    try:
        x, y, width, height = one.bbox
        # NaN fails every comparison.
        usable = 0 <= width < math.inf and 0 <= height < math.inf
        usable = usable and -math.inf < x < math.inf and -math.inf < y < math.inf
    except (TypeError, ValueError):
        return None
    if not usable:
        return None
    if not photo.width or not photo.height:
        return 0.0
    inside_x = max(min(x + width, photo.width) - max(x, 0), 0)
    inside_y = max(min(y + height, photo.height) - max(y, 0), 0)
    return min(inside_x * inside_y / (photo.width * photo.height), 1.0)


def _edges(one: CocoObject) -> tuple[float, float, float, float] | None:
    if one.bbox is None:
        return None
    x, y, width, height = one.bbox
    return x, y, x + width, y + height


def _clipped(file: CocoFile, objects: list[list]) -> list[ObjectBoxes]:
    """The boxes of each photo's objects."""
    column = BoxColumn()
    for photo, found in zip(file.photos, objects, strict=True):
        size = (photo.width, photo.height) if photo.width and photo.height else None
        column.add(found, size, photo.file_name)
    column.report(file.path)
    return column.rows
