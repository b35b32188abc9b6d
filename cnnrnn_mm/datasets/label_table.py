# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The images of a split with their label sets, whatever format they came from.

Axis letters: n images, C classes.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import UsageError
from .boxes import ObjectBoxes
from .label_checks import (
    check_areas,
    check_boxes,
    check_class_names,
    check_ids,
    check_paths,
    leaves_folder,
)

__all__ = ['LabelTable', 'leaves_folder', 'write_whole']

T = TypeVar('T')


@dataclass(frozen=True)
class LabelTable:
    """What a reader gives: the one thing that datasets and converters are made from.

    Attributes:
        source: What was read, for messages: usually the path of the annotation file.
        classes: C distinct names, in the order of the class ids.
        img_paths: n distinct paths below the image folder, with forward slashes.
        labels: n tuples of distinct class ids, ascending; a tuple may be empty.
        difficult: n tuples of the ids of which the image shows difficult objects only; they share
            no id with ``labels``. None where the format has no such mark.
        areas: n dicts {class id: share of the image, in (0, 1], of the box of the label's largest
            object}; a label without a box has no key. None where there are no boxes.
        boxes: n times the boxes of the objects that are labels, in the image; None where they were
            not asked for, since they take memory.
        numbers: n numbers of the images in the source, for messages; None for 0, 1, ...
        counted: What these numbers count: 'entry', 'line'.
        rooted: False where there is no image folder that a path could leave.

    Raises:
        UsageError: If anything above does not hold; the message names the source, the image and
            the remedy.
    """

    source: str
    classes: tuple[str, ...]
    img_paths: list[str]
    labels: list[tuple[int, ...]]
    difficult: list[tuple[int, ...]] | None = None
    areas: list[dict[int, float]] | None = None
    boxes: list[ObjectBoxes] | None = None
    numbers: Sequence[int] | None = None
    counted: str = 'entry'
    rooted: bool = True

    def __post_init__(self) -> None:
        check_class_names(self.classes, self.source)
        for name in ('labels', 'difficult', 'areas', 'boxes', 'numbers'):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.img_paths):
                raise UsageError(
                    f'{self.source}: {len(column)} entries of {name} for {len(self.img_paths)} '
                    'images: give one for each'
                )
        if not self.img_paths:
            raise UsageError(f'{self.source} lists no image: an empty split can not be used')
        check_paths(self.img_paths, self.source, self.where, self.rooted)
        check_ids(self.labels, len(self.classes), self._name)
        if self.difficult is not None:
            check_ids(self.difficult, len(self.classes), self._name)
            self._check_disjoint()
        if self.areas is not None:
            check_areas(self.areas, self.labels, self.difficult, self._name)
        if self.boxes is not None:
            check_boxes(self.boxes, self.labels, self._name)

    def where(self, row: int) -> str:
        """Where the source has an image, as 'entry 3' or 'line 5'."""
        return f'{self.counted} {row if self.numbers is None else self.numbers[row]}'

    def select(self, rows: Sequence[int]) -> 'LabelTable':
        """The table of some of the images, in the order of ``rows``."""

        def pick(column: Sequence[T] | None) -> list[T] | None:
            return None if column is None else [column[row] for row in rows]

        numbers = range(len(self.img_paths)) if self.numbers is None else self.numbers
        return replace(
            self,
            img_paths=[self.img_paths[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            difficult=pick(self.difficult),
            areas=pick(self.areas),
            boxes=pick(self.boxes),
            numbers=pick(numbers),
        )

    def without_empty(self) -> 'LabelTable':
        """The table of the images that have a label, be it a difficult one.

        Raises:
            UsageError: If there is none.
        """
        difficult = self.difficult if self.difficult is not None else [()] * len(self.labels)
        rows = [row for row, ids in enumerate(self.labels) if ids or difficult[row]]
        if not rows:
            raise UsageError(
                f'{self.source}: no image has a label of the {len(self.classes)} classes, so none '
                "is left: check the classes, or keep images without labels with empty='keep'"
            )
        return self.select(rows)

    def infos(self, img_folder: str = '') -> list[dict]:
        """One annotation an image, as the host's datasets hold them.

        Args:
            img_folder: Put before each path.

        Returns:
            Dicts with ``img_path`` and ``gt_label`` and, where the table has them,
            ``gt_label_difficult``, ``gt_area``, ``gt_bboxes`` and ``gt_bboxes_labels``.
        """
        # Rooted paths can't be absolute; os.path.join for each is a quarter of a set's start-up.
        prefix = os.path.join(img_folder, '') if img_folder else ''
        infos = []
        for row, path in enumerate(self.img_paths):
            img_path = prefix + path if self.rooted else os.path.join(img_folder, path)
            info: dict[str, Any] = dict(img_path=img_path, gt_label=list(self.labels[row]))
            if self.difficult is not None:
                info['gt_label_difficult'] = list(self.difficult[row])
            if self.areas is not None:
                info['gt_area'] = dict(self.areas[row])
            if self.boxes is not None:
                info['gt_bboxes'], info['gt_bboxes_labels'] = self.boxes[row]
            infos.append(info)
        return infos

    def save(self, path: str | Path) -> None:
        """Write the JSON file that the host's ``MultiLabelDataset`` reads, whole or not at all.

        ``img_path`` stays relative to the image folder, the dataset's ``data_prefix``. JSON has
        only strings as keys: those of ``gt_area`` are class ids written as strings. Boxes are
        written as lists.

        Raises:
            UsageError: If the file can't be written.
        """
        content = {'metainfo': {'classes': list(self.classes)}, 'data_list': self.infos()}
        text = json.dumps(
            content, ensure_ascii=False, separators=(',', ':'), default=np.ndarray.tolist
        )
        write_whole(path, lambda unfinished: unfinished.write_text(f'{text}\n', encoding='utf-8'))

    def _name(self, row: int) -> str:
        return f'{self.source}: image {self.img_paths[row]} ({self.where(row)})'

    def _check_disjoint(self) -> None:
        for row, ids in enumerate(self.difficult or ()):
            if ids and not set(ids).isdisjoint(self.labels[row]):
                raise UsageError(
                    f'{self._name(row)} has a label that is difficult and not difficult at once: '
                    'list it once'
                )


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path`` and put it in place when it is whole.

    What was there before stays until then, and a write that fails leaves nothing behind. The
    folder is made where it is missing. ``write`` is given a path that ends in ``.unfinished``.

    Raises:
        UsageError: If the file or its folder can't be written.
    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}.unfinished')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f'cannot write {path}: {error.strerror}: name another place') from None
