# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from the JSON file of the host's ``MultiLabelDataset``."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..class_list import class_list
from ..label_table import LabelTable

__all__ = ['JSON_LAYOUT', 'read_json']

JSON_LAYOUT = (
    'an annotation file {"metainfo": {"classes": [...]}, "data_list": [{"img_path": ..., '
    '"gt_label": [...]}]} and the images it names'
)


def read_json(
    path: str | Path, classes: Sequence[str] | str | None = None, rooted: bool = True
) -> LabelTable:
    """Read and check such a file.

    Args:
        path: The file.
        classes: Names that stand for those in the file, as ``metainfo`` of the dataset does, or a
            file with one a line; None for the file's.
        rooted: False where there is no image folder that a path could leave.

    Returns:
        The images in the file's order. Their labels are ascending, whatever their order in the
        file was.

    Raises:
        UsageError: If the file can't be used; the message names the entry.
    """
    path = str(Path(path).expanduser())
    content = _content(path)
    names = class_list(classes)
    entries = content['data_list']
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or 'img_path' not in entry or 'gt_label' not in entry:
            missing = 'gt_label' if isinstance(entry, dict) and 'img_path' in entry else 'img_path'
            raise UsageError(
                f'{path}: entry {number} of data_list has no {missing}; expected {JSON_LAYOUT}'
            )

    def column(key: str, parse: Callable[[object], object]) -> list | None:
        """What all entries have under a key that may be absent in some; None if in all."""
        if not any(key in entry for entry in entries):
            return None
        values = []
        for number, entry in enumerate(entries):
            try:
                values.append(parse(entry.get(key, ())))
            except ValueError as error:
                raise UsageError(
                    f'{path}: entry {number} of data_list has {key}={entry[key]!r}, {error}'
                ) from None
        return values

    return LabelTable(
        source=path,
        classes=_file_classes(path, content['metainfo']) if names is None else names,
        img_paths=[entry['img_path'] for entry in entries],
        labels=column('gt_label', _ids) or [],
        difficult=column('gt_label_difficult', _ids),
        areas=column('gt_area', _areas),
        rooted=rooted,
    )


def _content(path: str) -> dict:
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UsageError(
            f'{path} cannot be read ({error.strerror}); expected {JSON_LAYOUT}'
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f'{path} is no JSON ({error}); expected {JSON_LAYOUT}') from None
    if not isinstance(content, dict) or not isinstance(content.get('data_list'), list):
        raise UsageError(f'{path} has no data_list; expected {JSON_LAYOUT}')
    if not content['data_list']:
        raise UsageError(f'{path} lists no image: an empty split can not be used')
    if not isinstance(content.get('metainfo'), dict):
        raise UsageError(f'{path} has no metainfo; expected {JSON_LAYOUT}')
    return content


def _file_classes(path: str, metainfo: dict) -> tuple[str, ...]:
    """The class names, from either of the two places where the host looks for them."""
    names, categories = metainfo.get('classes'), metainfo.get('categories')
    try:
        if names is None and categories is not None:
            names = [one['category_name'] for one in sorted(categories, key=lambda one: one['id'])]
        if isinstance(names, list):
            return tuple(names)
    except (KeyError, TypeError):
        pass
    raise UsageError(
        f'{path} has no list of classes in its metainfo; expected {JSON_LAYOUT}, or give '
        'metainfo=dict(classes=[...])'
    )


def _ids(value: object) -> tuple[int, ...]:
    """Class ids, ascending; what is no id is left to the table to name."""
    if type(value) is int:
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise ValueError('which is no list of class ids: write [] where there is none')
    try:
        ids = tuple(sorted(set(value)))
    except TypeError:  # of several types, or lists
        raise ValueError('which is no list of class ids: list integers') from None
    if len(ids) < len(value):
        raise ValueError('which names a label twice: list each once')
    return ids


def _areas(value: Any) -> dict[int, float]:
    """Areas under class ids, which JSON can write only as strings."""
    try:
        return {int(label): float(share) for label, share in dict(value).items()}
    except (TypeError, ValueError):
        raise ValueError('which does not map class ids to shares of the image') from None
