# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Load an image, or say which one can't be loaded."""

from mmcv.transforms import LoadImageFromFile

from ...errors import UsageError
from ...registry import TRANSFORMS
from ..readable_images import why_unreadable

__all__ = ['LoadImage']


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """The host's ``LoadImageFromFile`` with a clear end for an image that can't be decoded.

    **Required Keys:**

    - img_path

    **Added Keys:**

    - img, img_shape, ori_shape

    To skip such images instead, wrap the dataset in :func:`ReadableImages`.

    Raises:
        UsageError: If the image can't be read; names it, the reason and the remedy.
    """

    def transform(self, results: dict) -> dict | None:
        """See the host's class."""
        try:
            return super().transform(results)
        except Exception as error:
            why = why_unreadable(results['img_path'])
            if why is None:  # the decoder of this transform is another one
                why = f'{type(error).__name__}: {error}'.splitlines()[0]
            raise UsageError(
                f'cannot read image {results["img_path"]} ({why}): replace or remove it, or skip '
                "such images with dataset=dict(type='cnnrnn_mm.ReadableImages', dataset=...)"
            ) from error
