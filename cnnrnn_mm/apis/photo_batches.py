# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Photos through the test pipeline, in batches, by workers.

Axis letters: N photos of a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from torch.utils.data import DataLoader, Dataset

from ..errors import UsageError
from .photo_inputs import Photo
from .photo_reading import PhotoReader

__all__ = ['PhotoBatch', 'PhotoPipeline', 'load_batches']


@dataclass
class PhotoBatch:
    """Some photos, read.

    Attributes:
        rows: Their numbers in the list of all photos.
        groups: Positions in ``rows`` and what ``model.test_step`` takes of them; inputs of one
            shape make a group, so that none is padded because of another.
        sizes: Width and height of each photo, N of them; None for one that could not be read.
        pixels: (h, w, 3) or (h, w) of each, where asked for, else None.
        errors: Why a position could not be read.
    """

    rows: list[int]
    groups: list[tuple[list[int], dict]] = field(default_factory=list)
    sizes: list[tuple[int, int] | None] = field(default_factory=list)
    pixels: list[np.ndarray | None] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)

    def pin_memory(self) -> 'PhotoBatch':
        """Called by the dataloader."""
        for _, data in self.groups:
            data['inputs'] = data['inputs'].pin_memory()
        return self


class PhotoPipeline:
    """The test pipeline, whose loading transform reads photos of any kind.

    Args:
        transforms: Its config. The first has to be the host's ``LoadImageFromFile`` or derived
            from it, such as ``cnnrnn_mm.LoadImage``.
        scope: The config's default scope.
        **reading: Limits of :class:`PhotoReader`.

    Raises:
        UsageError: If it does not begin with a transform that loads an image.
    """

    def __init__(
        self, transforms: Sequence[dict], scope: str = 'mmpretrain', **reading: Any
    ) -> None:
        with DefaultScope.overwrite_default_scope(scope):
            built = [TRANSFORMS.build(dict(one)) for one in transforms]
        if not built or not isinstance(built[0], LoadImageFromFile):
            first = type(built[0]).__name__ if built else 'nothing'
            raise UsageError(
                f'the test pipeline begins with {first}, which loads no photo: give a config whose '
                "test pipeline begins with dict(type='cnnrnn_mm.LoadImage')"
            )
        load = built[0]
        self.to_float32 = load.to_float32
        self.read = PhotoReader(load.color_type, load.imdecode_backend, **reading)
        self.transform = Compose(built[1:])

    def __call__(self, photo: Photo) -> tuple[dict, np.ndarray]:
        """What the pipeline gives, and the photo's pixels.

        Raises:
            UsageError: If the photo can't be read or passed through.
        """
        pixels = self.read(photo)
        size = pixels.shape[:2]
        img = pixels.astype(np.float32) if self.to_float32 else pixels
        results = dict(img=img, img_shape=size, ori_shape=size)
        if photo.path is not None:
            results['img_path'] = photo.path
        try:
            item = self.transform(results)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - transforms raise errors of many kinds
            line = f'{type(error).__name__}: {error}'.splitlines()[0]
            raise UsageError(
                f'photo {photo.name} of {size[1]} x {size[0]} can not pass the test pipeline '
                f'({line}): change it or the pipeline'
            ) from None
        return item, pixels


def load_batches(
    photos: Sequence[Photo],
    pipeline: PhotoPipeline,
    batch_size: int,
    num_workers: int = 0,
    keep_pixels: bool = False,
    pin_memory: bool = False,
) -> Iterator[PhotoBatch]:
    """Read photos in order; one that can't be read leaves its batch whole.

    Workers read files and addresses. One batch, arrays and Pillow images are read by the process
    itself, which is faster than starting workers or sending arrays to them.

    Args:
        photos: What to read.
        pipeline: What they pass through.
        batch_size: Photos of a batch.
        num_workers: Processes that read.
        keep_pixels: Give the photos' pixels, too.
        pin_memory: Put the inputs where they are copied faster to a GPU.
    """
    files = all(isinstance(photo.source, (str, bytes)) for photo in photos)
    if not files or len(photos) <= batch_size:
        num_workers = 0
    yield from DataLoader(
        _Photos(photos, pipeline, keep_pixels),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
    )


class _Photos(Dataset):
    """Each item: number, what the pipeline gave or why it could not, size, pixels."""

    def __init__(self, photos: Sequence[Photo], pipeline: PhotoPipeline, keep_pixels: bool) -> None:
        self.photos, self.pipeline, self.keep_pixels = photos, pipeline, keep_pixels

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[int, dict | str, Any, Any]:
        try:
            item, pixels = self.pipeline(self.photos[index])
        except UsageError as error:
            return index, str(error), None, None
        size = (pixels.shape[1], pixels.shape[0])
        return index, item, size, pixels if self.keep_pixels else None


def _collate(items: list[tuple[int, dict | str, Any, Any]]) -> PhotoBatch:
    rows, contents, sizes, pixels = map(list, zip(*items, strict=True))
    batch = PhotoBatch(rows, sizes=sizes, pixels=pixels)
    shapes: dict[Any, list[int]] = {}
    for place, content in enumerate(contents):
        if isinstance(content, str):
            batch.errors[place] = content
        else:
            shapes.setdefault(getattr(content['inputs'], 'shape', None), []).append(place)
    for places in shapes.values():
        batch.groups.append((places, default_collate([contents[place] for place in places])))
    return batch


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # its threads do not survive a fork
