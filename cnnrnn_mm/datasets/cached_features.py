# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Image features of a split in a folder, with the label lists beside them.

Axis letters: n images, V views of an image, F image feature size, C labels.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .annotations import check_labels
from .view_boxes import BOXES, read_boxes

__all__ = ['CachedFeatures', 'load_features']

FORMAT = 1
FEATURES, ANNOTATIONS, META = 'features.npy', 'annotations.json', 'meta.json'
#: Behind the name of a folder that is not whole yet, and the file in it that says how far it is.
UNFINISHED, PROGRESS = '.unfinished', 'progress.json'
PLAIN, MIRRORED, AUGMENTED = 'plain', 'mirrored', 'augmented'
MAKE = 'python tools/extract_features.py CONFIG --splits {split} --out {out}'


@dataclass(frozen=True)
class CachedFeatures:
    """What backbone and neck gave for the images of a split, in the split's stored order.

    Attributes:
        folder: Where it was read.
        views: (n, V, F) float32, or (n, V, F, h, w) for maps: mapped from the file, read-only. What
            is indexed is read, the rest stays on disk.
        annotations: n dicts with ``img_path``, ``gt_label`` and ``file_size`` (bytes, or None), and
            what else the dataset knew.
        classes: C class names; None where the dataset has none.
        meta: What the features were made from, in plain types; ``views`` says what the V views
            show: ``'plain'`` (the test pipeline) first, then ``'mirrored'`` or ``'augmented'``.
    """

    folder: str
    views: np.memmap
    annotations: list[dict]
    classes: list[str] | None
    meta: dict[str, Any]

    @cached_property
    def features(self) -> Tensor:
        """The plain view of all images (n, F), in memory."""
        return self._view(0)

    @cached_property
    def flipped(self) -> Tensor | None:
        """The mirror images (n, F), in memory; None where they were not made."""
        kinds = self.meta['views']
        return self._view(kinds.index(MIRRORED)) if MIRRORED in kinds else None

    @cached_property
    def boxes(self) -> list[list[dict[str, Any]]] | None:
        """For each image, V dicts; None for a cache without boxes.

        A dict has ``img_shape`` (H, W) of the network's input and, in its pixels, those that there
        were of ``gt_bboxes`` (n, 4) float32 with ``gt_bboxes_labels`` (n,) int64 and ``proposals``
        (n, 4) float32.
        """
        return read_boxes(Path(self.folder) / BOXES, *self.views.shape[:2])

    @property
    def labels(self) -> list[list[int]]:
        """N label lists, as the dataset gave them; a list may be empty."""
        return [one['gt_label'] for one in self.annotations]

    @property
    def img_paths(self) -> list[str]:
        """N paths, as the dataset gave them."""
        return [one['img_path'] for one in self.annotations]

    def _view(self, number: int) -> Tensor:
        return torch.from_numpy(np.array(self.views[:, number]))

    def __deepcopy__(self, memo: dict) -> 'CachedFeatures':
        return self  # nothing in it changes, and a copy of the map would read the whole file

    def __reduce__(self) -> tuple:
        return load_features, (self.folder,)


def load_features(folder: str | Path) -> CachedFeatures:
    """Open a folder that ``tools/extract_features.py`` wrote; the features themselves stay on disk.

    Raises:
        UsageError: If it is missing, not whole yet, no such folder, or contradicts itself.
    """
    folder = Path(folder)
    meta = read_meta(folder)
    content = _read_json(folder / ANNOTATIONS)
    try:
        classes, annotations = content['metainfo'].get('classes'), content['data_list']
        views = np.load(folder / FEATURES, mmap_mode='r', allow_pickle=False)
    except (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError) as error:
        why = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise UsageError(f'{folder} is damaged ({why}): {_make(folder)}') from None
    size = len(annotations)
    if views.dtype != np.float32 or views.shape[:2] != (size, len(meta['views'])):
        raise UsageError(
            f'{folder / FEATURES} holds {views.dtype} of shape {views.shape}, not float32 for '
            f'{size} images in {len(meta["views"])} views: {_make(folder)}'
        )
    _check_annotations(folder, annotations, classes)
    for one in annotations:
        if 'gt_area' in one:  # JSON has no numbers for keys
            one['gt_area'] = {int(label): share for label, share in one['gt_area'].items()}
    return CachedFeatures(str(folder), views, annotations, classes, meta)


def read_meta(folder: str | Path) -> dict[str, Any]:
    """The facts of a cache that is whole.

    Raises:
        UsageError: As :func:`load_features`; of a cache that is not whole it says how far it is,
            and by which command it is completed.
    """
    folder = Path(folder)
    if folder.is_file():
        raise UsageError(f'{folder} is a file, but features are a folder: {_make(folder)}')
    if not folder.is_dir():
        half = unfinished_folder(folder)
        if (half / META).is_file():
            meta = _read_json(half / META)
            raise UsageError(
                f'the features in {folder} are not complete: {read_progress(half)} of '
                f'{meta.get("images")} images; complete them with: {meta.get("command")}'
            )
        raise UsageError(f'no features in {folder}: {_make(folder)}')
    meta = _read_json(folder / META)
    if not isinstance(meta, dict) or meta.get('format') != FORMAT or not meta.get('views'):
        raise UsageError(
            f'{folder / META} is not of format {FORMAT}, which this version reads: {_make(folder)}'
        )
    return meta


def unfinished_folder(folder: Path) -> Path:
    """Where a cache is written before it is whole."""
    return folder.with_name(folder.name + UNFINISHED)


def read_progress(half: Path) -> int:
    """How many images of an unfinished cache are done."""
    path = half / PROGRESS
    return _read_json(path)['done'] if path.is_file() else 0


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, 'strerror', None) or f'no JSON: {error}'
        raise UsageError(f'cannot read {path} ({why}): {_make(path.parent)}') from None


def _make(folder: Path) -> str:
    return 'make it with ' + MAKE.format(split=folder.name, out=folder.parent)


def _check_annotations(folder: Path, annotations: list[dict], classes: list[str] | None) -> None:
    if not annotations:
        raise UsageError(f'{folder} has no image: an empty split can not be used')
    paths, labels = [], []
    for number, one in enumerate(annotations):
        try:
            paths.append(str(one['img_path']))
            labels.append(np.asarray(one['gt_label']))
        except (KeyError, TypeError, ValueError):
            raise UsageError(
                f'{folder / ANNOTATIONS}: image number {number} has no img_path with gt_label: '
                f'{_make(folder)}'
            ) from None
        if labels[-1].ndim != 1 or (labels[-1].size and labels[-1].dtype.kind not in 'iu'):
            raise UsageError(
                f'{folder / ANNOTATIONS}: labels of image {paths[-1]} are no list of class ids: '
                f'{_make(folder)}'
            )
    most = max((int(one.max()) for one in labels if one.size), default=0)
    num_classes = most + 1 if classes is None else len(classes)
    try:
        check_labels([one.astype(np.int64) for one in labels], paths, max(num_classes, 1))
    except UsageError as error:
        raise UsageError(f'{folder}: {error}') from None
