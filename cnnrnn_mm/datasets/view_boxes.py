# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The boxes beside cached features: a line of JSON for each image, with what each view shows.

A view's entry has ``img_shape`` (H, W), the network's input, and those of ``gt_bboxes`` (n, 4),
``gt_bboxes_labels`` (n,) and ``proposals`` (n, 4) that the pipeline gave, in pixels of that input.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .boxes import BOX_KEYS, as_boxes, mirror_boxes

__all__ = ['BOXES', 'FIELDS', 'GROUND_TRUTH', 'append_boxes', 'cut_boxes', 'mirror', 'read_boxes']

BOXES = 'boxes.jsonl'
GROUND_TRUTH = ('gt_bboxes', *BOX_KEYS['gt_bboxes'])
#: What a sample may have of boxes.
FIELDS = (*GROUND_TRUTH, 'proposals')

ViewBoxes = dict[str, Any]


def mirror(view: ViewBoxes) -> ViewBoxes:
    """The entry of the view flipped left to right."""
    width = view['img_shape'][1]
    moved = {key: mirror_boxes(view[key], width) for key in BOX_KEYS if key in view}
    return {**view, **moved}


def append_boxes(path: Path, images: Sequence[Sequence[ViewBoxes]]) -> None:
    """Add the entries of the views of some images; on disk when it returns."""
    with path.open('a', encoding='utf-8') as file:
        for views in images:
            plain = [{key: _plain(value) for key, value in view.items()} for view in views]
            file.write(json.dumps(plain, separators=(',', ':')) + '\n')
        file.flush()
        os.fsync(file.fileno())


def cut_boxes(path: Path, images: int) -> None:
    """Leave the lines of the first images; without a line, the file goes, too."""
    if not path.is_file():
        return
    if images == 0:
        path.unlink()
        return
    with path.open('rb+') as file:
        for _ in range(images):
            file.readline()
        file.truncate(file.tell())


def read_boxes(path: Path, images: int, views: int) -> list[list[ViewBoxes]] | None:
    """The entries of each view of each image; None where there is no such file.

    Args:
        path: The file.
        images: How many it must have.
        views: Of each image.

    Raises:
        UsageError: If the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with path.open(encoding='utf-8') as file:
            found = [[_view(view) for view in json.loads(line)] for line in file]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise UsageError(f'{path} is damaged ({why}): make the features anew') from None
    if len(found) != images or any(len(one) != views for one in found):
        raise UsageError(
            f'{path} has {len(found)} lines, not {images}, or an image lacks one of the {views} '
            'views: make the features anew'
        )
    return found


def _view(view: ViewBoxes) -> ViewBoxes:
    kinds: dict[str, Callable[[Any], Any]] = {
        'img_shape': tuple,
        'gt_bboxes_labels': lambda ids: np.array(ids, dtype=np.int64),
    }
    return {key: kinds.get(key, as_boxes)(value) for key, value in view.items()}


def _plain(value: Sequence | np.ndarray) -> list:
    """As lists; of float32 the fewest digits that give the same number again."""
    value = np.asarray(value)
    return (value.astype(str).astype(float) if value.dtype == np.float32 else value).tolist()
