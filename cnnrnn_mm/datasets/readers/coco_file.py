# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The parts of a COCO instances file that label sets need, in little memory.

The layout is that of https://cocodataset.org/#format-data. pycocotools reads such a file with
``json.load`` too, keeps every outline of every object, and checks nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError

__all__ = ['CocoFile', 'CocoObject', 'CocoPhoto', 'load_coco_file']

EXPECTED = 'give an instances file such as annotations/instances_train2014.json'


class CocoPhoto(NamedTuple):
    """An entry of ``images``; None stands for what it has not."""

    id: int | str | None
    file_name: str  # as the file has it; the table checks it
    width: float | None
    height: float | None


class CocoObject(NamedTuple):
    """An entry of ``annotations``; None stands for what it has not."""

    image_id: int | str | None
    category_id: int | None
    iscrowd: int
    bbox: list[float] | None


@dataclass(frozen=True)
class CocoFile:
    """What was read.

    Attributes:
        path: The file.
        photos: ``images``, in the file's order.
        objects: ``annotations``, in the file's order.
        categories: {category id: name}, ids ascending.
    """

    path: str
    photos: list[CocoPhoto]
    objects: list[CocoObject]
    categories: dict[int, str]


def load_coco_file(path: str | Path, any_kind: bool = False) -> CocoFile:
    """Read an instances file.

    Args:
        path: The JSON file. Its text is held in memory while it is read.
        any_kind: Take a keypoints file too, whose only objects are people.

    Raises:
        UsageError: If the file can't be read, is not whole, is another kind of COCO file, or lacks
            a part.
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding='utf-8-sig') as file:
            content = json.load(file, object_hook=_slim)
    except OSError as error:
        raise UsageError(f'{path} cannot be read ({error.strerror}): {EXPECTED}') from None
    except UnicodeDecodeError as error:
        raise UsageError(f'{path} is no UTF-8 text (byte {error.start}): {EXPECTED}') from None
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f'{path} is no whole JSON file ({error}): fetch it again and compare its size'
        ) from None
    except _OtherKindError as error:
        raise UsageError(f'{path} is a COCO {error} file, without objects: {EXPECTED}') from None
    if not isinstance(content, dict):
        raise UsageError(f'{path} is no COCO file: {EXPECTED}')
    if 'data_list' in content:
        raise UsageError(f"{path} is no COCO file but one of MultiLabelDataset: use that as 'type'")
    parts = {
        name: _part(content, path, name, kind)
        for name, kind in (('categories', dict), ('images', CocoPhoto), ('annotations', CocoObject))
    }
    if not any_kind and all(one.get('keypoints') for one in parts['categories']):
        raise UsageError(
            f'{path} is a COCO keypoints file, without the other objects: {EXPECTED}, or name the '
            'classes if you mean this one'
        )
    categories = _categories(path, parts['categories'])
    return CocoFile(str(path), parts['images'], parts['annotations'], categories)


class _OtherKindError(Exception):
    """The file holds something else than objects."""


def _slim(entry: dict) -> dict | CocoPhoto | CocoObject:
    """Keep what is needed of an object of the JSON, as soon as it has been read.

    The outlines are nine tenths of the file; here they go one by one.
    """
    if 'image_id' in entry:
        if 'category_id' not in entry:
            for key, kind in (('caption', 'captions'), ('segments_info', 'panoptic')):
                if key in entry:
                    raise _OtherKindError(kind)
        return CocoObject(
            entry['image_id'],
            entry.get('category_id'),
            entry.get('iscrowd', 0),
            entry.get('bbox'),
        )
    if 'file_name' in entry:
        return CocoPhoto(
            entry.get('id'), entry['file_name'], entry.get('width'), entry.get('height')
        )
    return entry


def _part(content: dict, path: Path, name: str, kind: type) -> list:
    """One of the lists of the file, with entries of one kind."""
    part = content.get(name)
    if not isinstance(part, list):
        raise UsageError(f"{path} has no list '{name}': {EXPECTED}")
    if name != 'annotations' and not part:
        raise UsageError(f"{path}: its list '{name}' is empty: {EXPECTED}")
    for number, entry in enumerate(part):
        if not isinstance(entry, kind):
            needed = {'images': 'file_name', 'annotations': 'image_id', 'categories': 'name'}
            raise UsageError(
                f'{path}: entry {number} of {name} has no {needed[name]}: correct the entry'
            )
    return part


def _categories(path: Path, entries: list[dict]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for number, entry in enumerate(entries):
        key, name = entry.get('id'), entry.get('name')
        if type(key) is not int or not isinstance(name, str):
            raise UsageError(
                f'{path}: entry {number} of categories has id {key!r} and name {name!r}: an '
                'integer and a text are needed'
            )
        if key in categories:
            raise UsageError(
                f"{path}: category id {key} stands for '{categories[key]}' and '{name}': give each "
                'category an id of its own'
            )
        categories[key] = name
    return dict(sorted(categories.items()))
