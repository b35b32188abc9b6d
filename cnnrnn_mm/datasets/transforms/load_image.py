# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Load an image, or say which one can't be loaded."""

from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from ...errors import UsageError
from ...registry import TRANSFORMS
from ..pixel_limit import MAX_PIXELS, check_max_pixels, check_pixels, count_pixels
from ..readable_images import why_unreadable
from .skipped_images import SkippedImages

__all__ = ['LoadImage']


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """The host's ``LoadImageFromFile`` with a clear end for an image that can't be loaded.

    **Required Keys:**

    - img_path

    **Added Keys:**

    - img, img_shape, ori_shape

    To leave such images out, wrap the dataset in :func:`ReadableImages`, which looks before the
    run, or add :class:`SkipUnreadableHook`, which goes on without those that rot while it trains.

    Args:
        *args: The host's options.
        max_pixels: Most pixels of an image, width times height, read from its header before
            anything is decoded; None for no limit but OpenCV's own, 2^30. The default is Pillow's.
        **options: The host's options.

    Attributes:
        skipped: Where the hook is used, the images that a training goes on without; else None.

    Raises:
        UsageError: If the image can't be read or is too large; names it, the reason and the remedy.
    """

    def __init__(self, *args: Any, max_pixels: int | None = MAX_PIXELS, **options: Any) -> None:
        super().__init__(*args, **options)
        check_max_pixels(max_pixels, 'LoadImage')
        self.max_pixels = max_pixels
        self.skipped: SkippedImages | None = None

    def transform(self, results: dict) -> dict | None:
        """See the host's class; None for an image that is left out."""
        path = results['img_path']
        try:
            image = self._load(path)
        except Exception as error:
            if self.ignore_empty:
                return None
            why = why_unreadable(path, self.max_pixels)
            if why is None:  # the decoder of this transform is another one
                why = f'{type(error).__name__}: {error}'.splitlines()[0]
            if self.skipped is not None:
                self.skipped.add(path, why)
                return None
            raise UsageError(
                f'cannot read image {path} ({why}): replace or remove it, or skip such images with '
                "dataset=dict(type='cnnrnn_mm.ReadableImages', dataset=...)"
            ) from error
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results

    def _load(self, path: str) -> np.ndarray:
        """The host's steps, with a look at the size between reading and decoding."""
        if self.file_client_args is not None:
            client = fileio.FileClient.infer_client(self.file_client_args, path)
            content = client.get(path)
        else:
            content = fileio.get(path, backend_args=self.backend_args)
        if self.max_pixels is not None:
            check_pixels(count_pixels(content), self.max_pixels)
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise ValueError(f'failed to load image: {path}')
        return image.astype(np.float32) if self.to_float32 else image

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, max_pixels={self.max_pixels})'
