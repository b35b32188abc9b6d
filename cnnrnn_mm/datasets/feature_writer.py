# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write features so that a killed process loses a batch at most.

Axis letters: n images, V views of an image, F image feature size.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import UsageError
from .cached_features import (
    ANNOTATIONS,
    FEATURES,
    FORMAT,
    META,
    PROGRESS,
    CachedFeatures,
    load_features,
    read_progress,
    unfinished_folder,
)
from .view_boxes import BOXES, append_boxes, cut_boxes

__all__ = ['FeatureWriter']

LOCK = 'lock'


class FeatureWriter:
    """Fill a folder that :func:`load_features` reads, batch by batch.

    Until it is whole, the cache stands beside its place, in ``FOLDER.unfinished``: each batch is
    flushed to disk first and counted as done then. A writer with equal ``meta`` goes on behind the
    last batch done. :meth:`finish` moves the folder to its place in one step; what was there before
    stays until then.

    Args:
        folder: The place.
        meta: What the features are made from, in plain types, with ``views``.
        annotations: n dicts with ``img_path`` and ``gt_label``.
        classes: C class names, or None.
        restart: Throw away what an earlier writer left unfinished.

    Attributes:
        done: Images that need not be computed any more.

    Raises:
        UsageError: If another process writes there, or an earlier writer with another ``meta`` left
            something and ``restart`` is not set.
    """

    def __init__(
        self,
        folder: str | Path,
        meta: dict[str, Any],
        annotations: Sequence[dict],
        classes: Sequence[str] | None,
        restart: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self._half = unfinished_folder(self.folder)
        self._annotations = list(annotations)
        self._views: np.memmap | None = None
        meta = {'format': FORMAT, **meta, 'images': len(self._annotations)}
        self._lock = _lock(self._half)
        self.done = read_progress(self._half)
        try:
            self._meta = self._begin(meta, restart)
            cut_boxes(self._half / BOXES, self.done)
            content = {
                'metainfo': {} if classes is None else {'classes': list(classes)},
                'data_list': self._annotations,
            }
            _write_json(self._half / ANNOTATIONS, content, indent=None)
            _write_json(self._half / META, self._meta)
        except BaseException:
            self.close()
            raise

    def _begin(self, meta: dict, restart: bool) -> dict:
        """Take over what is there, if it is of the same make; the facts of the cache."""
        path = self._half / META
        if not path.is_file():
            return meta
        earlier = json.loads(path.read_text(encoding='utf-8'))
        # A plain copy, since that is what the file gives: lists for tuples, names for numbers.
        binding = ('format', 'fingerprint', 'views', 'images', 'batch_size')
        wanted = json.loads(json.dumps(meta))
        if all(earlier.get(key) == wanted.get(key) for key in binding):
            return {**earlier, 'command': wanted.get('command')}
        if not restart:
            raise UsageError(
                f'{self._half} holds an unfinished cache of another make: remove it, or throw it '
                'away with --overwrite'
            )
        for one in (path, self._half / FEATURES, self._half / PROGRESS):
            one.unlink(missing_ok=True)
        self.done = 0
        return meta

    def write(self, features: Tensor, boxes: Sequence[Sequence[dict]] | None = None) -> None:
        """Append the next b images.

        Args:
            features: (b, V, F).
            boxes: b times V entries as in :attr:`CachedFeatures.boxes`; None, always, for none.

        Raises:
            UsageError: If one is not finite, or of another shape than those before.
        """
        values = features.detach().cpu().numpy()
        end = self.done + len(values)
        self._check(values, self._annotations[self.done : end])
        if self._views is None:
            self._views = self._open(values.shape[1:])
        self._views[self.done : end] = values
        self._views.flush()
        if boxes is not None:
            append_boxes(self._half / BOXES, boxes)
        self.done = end
        _write_json(self._half / PROGRESS, {'done': end, 'images': len(self._annotations)})

    def _open(self, shape: tuple[int, ...]) -> np.memmap:
        path, shape = self._half / FEATURES, (len(self._annotations), *shape)
        if self.done:
            views = np.lib.format.open_memmap(path, mode='r+')
            if views.shape != shape:
                raise UsageError(
                    f'the features have shape {shape}, those in {self._half} {views.shape}: throw '
                    'them away with --overwrite'
                )
            return views
        return np.lib.format.open_memmap(path, mode='w+', dtype=np.float32, shape=shape)

    def _check(self, values: np.ndarray, annotations: Sequence[dict]) -> None:
        if len(values) != len(annotations):
            raise UsageError(
                f'{self.folder}: {self.done + len(values)} features for {len(self._annotations)} '
                'images'
            )
        bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if bad.any():
            raise UsageError(
                f'the feature of image {annotations[int(bad.argmax())]["img_path"]} holds NaN or '
                f'infinite values ({int(bad.sum())} of {len(bad)} images looked at): check the '
                'weights and the data_preprocessor'
            )

    def finish(self) -> CachedFeatures:
        """Move the whole cache to its place and open it.

        Raises:
            UsageError: If images are missing.
        """
        if self.done != len(self._annotations) or not self.done:
            raise UsageError(f'{self._half} has {self.done} of {len(self._annotations)} images')
        self._views = None
        shape = list(np.load(self._half / FEATURES, mmap_mode='r').shape)
        _write_json(self._half / META, {**self._meta, 'shape': shape})
        old = self.folder.with_name(f'{self.folder.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        self._half.rename(self.folder)
        for name in (PROGRESS, LOCK):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
        return load_features(self.folder)

    def close(self) -> None:
        """Let others write. What is done stays; where that is nothing, nothing stays."""
        self._views = None
        if not self.done:
            shutil.rmtree(self._half, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> 'FeatureWriter':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(folder: Path) -> int:
    """Make the folder and hold it until the process ends, however it ends."""
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise UsageError(f'cannot write to {folder} ({error.strerror}): name another') from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise UsageError(
                f'another process is writing to {folder}: wait for it, or name another folder'
            ) from None
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
        os.close(lock)  # another process moved the folder to its place in between


def _write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Replace a file in one step, on disk when it returns."""
    beside = path.with_name(f'.{path.name}.new')
    with beside.open('w', encoding='utf-8') as file:
        json.dump(content, file, indent=indent)
        file.write('\n')
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
