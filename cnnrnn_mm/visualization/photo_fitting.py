# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The photo of a sample at the size in which it is drawn, and what stands around it.

All lengths are in pixels.
"""

import math
from pathlib import Path

import mmcv
import numpy as np
from mmpretrain.structures import DataSample
from PIL import Image

from ..errors import UsageError
from .label_style import PAPER

__all__ = ['find_photo', 'fit_photo', 'join_parts', 'text_size']

#: Pixels of the largest photo that is drawn: 8,000 x 8,000.
MOST_PIXELS = 64_000_000
#: Size of the text beside a photo of up to 640 pixels; beside a larger one it grows alike.
LEAST_TEXT, PHOTO_SHARE = 16, 40


def find_photo(image: np.ndarray, data_sample: DataSample, reload_photo: bool) -> Image.Image:
    """The photo in RGB.

    Args:
        image: Of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), 0 to 255.
        data_sample: Whose ``img_path`` is read.
        reload_photo: Read the file, if that is possible, instead of using the array.
    """
    path = data_sample.get('img_path', None)
    if reload_photo and isinstance(path, str | Path):
        try:
            loaded = mmcv.imread(path, channel_order='rgb')
        except (OSError, ValueError, ImportError):  # moved, or of a backend not at hand
            loaded = None
        image = image if loaded is None else loaded
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.clip(image, 0, 255).astype(np.uint8)
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :1].repeat(3, axis=2) if image.shape[2] < 3 else image[..., :3]
    return Image.fromarray(np.ascontiguousarray(image))


def fit_photo(
    photo: Image.Image,
    resize: int | None,
    rescale_factor: float | None,
    min_photo: int,
    max_photo: int,
) -> Image.Image:
    """Bring a photo to the size in which it is drawn.

    Args:
        photo: As it was read.
        resize: Its new short edge.
        rescale_factor: Factor for its size, where ``resize`` is None.
        min_photo: Else, a long edge below this is magnified by a whole number, without smoothing.
        max_photo: And a longer one is shrunk to this.

    Raises:
        UsageError: If it would have more than 64 million pixels.
    """
    if resize is not None:
        scale = resize / min(photo.size)
    elif rescale_factor is not None:
        scale = rescale_factor
    elif max(photo.size) < min_photo:
        scale = math.ceil(min_photo / max(photo.size))
    else:
        scale = min(max_photo / max(photo.size), 1.0)
    width, height = (max(round(edge * scale), 1) for edge in photo.size)
    if width * height > MOST_PIXELS:
        raise UsageError(
            f'a photo of {width} x {height} pixels is too large to draw: set a smaller '
            'rescale_factor, resize or max_photo'
        )
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return photo if (width, height) == photo.size else photo.resize((width, height), smooth)


def text_size(photo: Image.Image) -> int:
    """The size of text that goes with a photo."""
    return max(LEAST_TEXT, round(max(photo.size) / PHOTO_SHARE))


def join_parts(
    photo: Image.Image, panel: Image.Image, tree: Image.Image | None, margin: int
) -> np.ndarray:
    """Photo to the left, panel to the right, tree below: an array (H, W, 3), RGB, uint8."""
    width, height = photo.width + panel.width + margin, max(photo.height, panel.height)
    below = 0 if tree is None else tree.height + margin
    drawn = Image.new('RGB', (width + 2 * margin, height + below + 2 * margin), PAPER)
    drawn.paste(photo, (margin, margin))
    drawn.paste(panel, (photo.width + 2 * margin, margin))
    if tree is not None:
        drawn.paste(tree, (margin, height + 2 * margin))
    return np.asarray(drawn).copy()
