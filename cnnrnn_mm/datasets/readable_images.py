# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Find images that can't be decoded before a run starts."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import Any

import mmcv
from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from PIL import Image, UnidentifiedImageError
from rich.progress import track

from ..errors import UsageError
from ..registry import DATASETS
from .pixel_limit import MAX_PIXELS, check_pixels, count_pixels

__all__ = ['ReadableImages', 'why_unreadable']


@DATASETS.register_module()
def ReadableImages(dataset: dict, unreadable: str = 'skip') -> Any:  # noqa: N802 - like a type
    """Build ``dataset`` and decode each of its images once, in threads.

    Without this, an image that can't be decoded stops a run when it is reached. Wrapped, it is
    found before the first step, and skipping works for training and testing alike: the result is
    the host's own dataset without those images. An image with more pixels than the ``max_pixels``
    of the pipeline's :class:`LoadImage` (without one, its default) counts as unreadable.

    Args:
        dataset: Config of a dataset derived from the host's ``BaseDataset``.
        unreadable: ``'skip'`` leaves such images out and warns with their number and names;
            ``'error'`` ends the run and names the first.

    Returns:
        The dataset.

    Raises:
        UsageError: If ``unreadable='error'`` and an image is unreadable, or if none is readable.
    """
    if unreadable not in ('skip', 'error'):
        raise UsageError(f"unreadable is '{unreadable}': set it to 'skip' or 'error'")
    built = DATASETS.build(dataset)
    built.full_init()
    paths = [built.get_data_info(index)['img_path'] for index in range(len(built))]
    most = _limit(built)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = track(
            pool.map(partial(why_unreadable, max_pixels=most), paths),
            'Reading images',
            total=len(paths),
            disable=not is_main_process(),
        )
        reasons = list(found)
    bad = [index for index, why in enumerate(reasons) if why]
    if not bad:
        return built
    named = [f'{paths[index]} ({reasons[index]})' for index in bad]
    if unreadable == 'error':
        raise UsageError(
            f'cannot read image {named[0]}, one of {len(bad)}: replace or remove it, or set '
            "unreadable='skip'"
        )
    if len(bad) == len(paths):
        raise UsageError(
            f'none of {len(paths)} images can be read, first {named[0]}: check data_root and '
            'data_prefix'
        )
    # Formatted here: the host's logger drops a warning whose format string it has seen before.
    MMLogger.get_current_instance().warning(
        f'Skipped {len(bad)} of {len(paths)} images that can not be read: {", ".join(named[:20])}'
    )
    built.get_subset_([index for index, why in enumerate(reasons) if not why])
    return built


def why_unreadable(path: str, max_pixels: int | None = MAX_PIXELS) -> str | None:
    """None if the image decodes, else the reason in a few words.

    Args:
        path: The image.
        max_pixels: As of :class:`LoadImage`.
    """
    try:
        content = fileio.get(path)
    except OSError as error:
        return error.strerror or type(error).__name__
    pixels = count_pixels(content)
    try:
        check_pixels(pixels, max_pixels)
        # Pillow refuses a truncated picture, which OpenCV fills up with grey.
        if pixels is None or pixels <= MAX_PIXELS:
            Image.open(BytesIO(content)).load()
        image = mmcv.imfrombytes(content)
    except UnidentifiedImageError:
        return 'not a picture'
    except Exception as error:  # noqa: BLE001 - decoders raise errors of many kinds
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return 'of a kind that OpenCV does not decode' if image is None else None


def _limit(dataset: BaseDataset) -> int | None:
    """What the dataset's own pipeline takes."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    found = [one.max_pixels for one in transforms if hasattr(one, 'max_pixels')]
    return found[0] if found else MAX_PIXELS
