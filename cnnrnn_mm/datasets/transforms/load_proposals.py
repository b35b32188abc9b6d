# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Region proposals that were made elsewhere, from a file.

Axis letters: n boxes.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePath

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import UsageError
from ...registry import TRANSFORMS
from ..boxes import SLIVER, clip_boxes, have_area

__all__ = ['LoadProposals']

#: Bytes of an archive's content, and times its size, above which it is no honest one.
MOST_UNPACKED, MOST_RATIO = 2**28, 100

EXPECTED = 'give {image path: n rows of x1, y1, x2, y2 and, if there is one, a score}'


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Add an image's region proposals, the best first.

    It stands right behind the transform that loads the image. The file maps images to boxes in
    pixels of the image as it is stored: x1, y1, x2, y2, 0-based, the right and the bottom edge
    exclusive, and a score where there are scores (higher is better); without, the order is kept. It
    is either JSON, ``{"000005.jpg": [[10, 20, 110, 90, 0.7], ...], ...}``, or what
    ``numpy.savez(file, **{'000005.jpg': array, ...})`` writes, which is smaller and faster to read.
    An image is found by its whole path or by any end of it, such as
    ``JPEGImages/000005.jpg`` or ``000005.jpg``; the longest counts.

    **Required Keys:**

    - img
    - img_path

    **Added Keys:**

    - proposals (np.float32, (n, 4), pixels)

    Args:
        file: The file; read once in a process.
        most: Keep this many at most of an image, the best ones; None for all.

    Raises:
        UsageError: If the file can't be used, has no entry for an image, or a box without area or
            outside the image.
    """

    def __init__(self, file: str, most: int | None = None) -> None:
        if most is not None and most < 1:
            raise UsageError(f'LoadProposals has most={most}: set it to 1 or more, or None for all')
        self.file, self.most = str(file), most
        self.boxes = _read(self.file, _stamp(self.file))

    def transform(self, results: dict) -> dict:
        """Add the boxes."""
        path, (height, width) = str(results['img_path']), results['img'].shape[:2]
        if tuple(results.get('ori_shape', (height, width)))[:2] != (height, width):
            raise UsageError(
                f'image {path} has another size than its file where LoadProposals stands: put it '
                'right behind LoadImage'
            )
        boxes = next((self.boxes[end] for end in _ends(path) if end in self.boxes), None)
        if boxes is None:
            raise UsageError(
                f'{self.file} has no proposals for image {path}: add an entry of its file name or '
                'path (an empty list for none)'
            )
        edges = boxes[: self.most, :4]
        inside = clip_boxes(edges, width, height)
        bad = (np.abs(inside - edges) > SLIVER).any(1)
        if bad.any():
            raise UsageError(
                f'{self.file}: proposal {_show(edges[bad.argmax()])} of image {path} leaves the '
                f'image of {width} x {height}: give x1, y1, x2, y2 in pixels of the stored image'
            )
        results['proposals'] = inside
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(file='{self.file}', most={self.most})"


def _stamp(file: str) -> tuple[int, int]:
    """What changes when the file does."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise UsageError(
            f'proposals {file} cannot be read ({error.strerror}): set file of LoadProposals to a '
            '.json or .npz file'
        ) from None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=2)  # a pipeline is built anew for each copy of its images
def _read(file: str, stamp: tuple[int, int]) -> dict[str, np.ndarray]:
    """{image: (n, 4) float32, the best first}."""
    try:
        if zipfile.is_zipfile(file):
            _check_unpacked(file)
            with np.load(file, allow_pickle=False) as content:
                found = dict(content)
        else:
            with open(file, encoding='utf-8') as text:
                found = json.load(text)
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f'proposals {file} are no JSON or NPZ file ({why}): {EXPECTED}') from None
    if not isinstance(found, dict) or not found:
        raise UsageError(f'proposals {file} hold no images: {EXPECTED}')
    return {name: _boxes(value, name, file) for name, value in found.items()}


def _check_unpacked(file: str) -> None:
    """Refuse an archive made to fill the memory: boxes shrink to a tenth, zeros much more."""
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(one.file_size for one in archive.infolist())
    packed = os.path.getsize(file)
    if unpacked > MOST_UNPACKED and unpacked > MOST_RATIO * packed:
        raise UsageError(
            f'proposals {file} have {packed:,} bytes that unpack to {unpacked:,}, which no boxes '
            'do: write them anew with numpy.savez'
        )


def _boxes(value: object, name: str, file: str) -> np.ndarray:
    """The boxes (n, 4) float32 of an image, the best first."""
    try:
        rows = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        rows = np.zeros((1, 0))
    if rows.size == 0 and rows.shape[0] == 0:
        rows = np.zeros((0, 4))
    if rows.ndim != 2 or rows.shape[1] not in (4, 5) or not np.isfinite(rows).all():
        raise UsageError(f'{file}: proposals of {name} are no rows of 4 or 5 numbers: {EXPECTED}')
    if rows.shape[1] == 5:
        rows = rows[np.argsort(-rows[:, 4], kind='stable')]
    boxes = rows[:, :4].astype(np.float32)
    flat = ~have_area(boxes)
    if flat.any():
        raise UsageError(
            f'{file}: proposal {_show(boxes[flat.argmax()])} of {name} has no area: give x1 < x2 '
            'and y1 < y2, or remove it'
        )
    return boxes


def _ends(path: str) -> Iterator[str]:
    """The path and its ends, the longest first."""
    yield path
    parts = PurePath(path).parts
    for start in range(len(parts)):
        yield '/'.join(parts[start:])


def _show(box: np.ndarray) -> str:
    return ', '.join(f'{edge:g}' for edge in box)
