# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Arrays and Pillow images of any kind as BGR pixels.

Axis letters: h, w of the photo.
"""

import numpy as np
from PIL import Image, ImageOps

from ..errors import UsageError

__all__ = ['array_pixels', 'is_translucent', 'load_picture', 'picture_pixels']


def array_pixels(array: np.ndarray, name: str) -> np.ndarray:
    """(h, w, 3) of an array (h, w), (h, w, 1), (h, w, 3) in BGR or (h, w, 4) in BGRA order.

    Raises:
        UsageError: If it has another shape, no pixels or another type than uint8.
    """
    if array.dtype != np.uint8:
        raise UsageError(
            f'{name} is an array of {array.dtype}: give uint8, 0 to 255 (a photo in 0 to 1 is to '
            'be multiplied by 255)'
        )
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise UsageError(
            f'{name} is an array of shape {array.shape}: give (height, width, 3), in BGR order'
        )
    if channels == 4:
        share = array[..., 3:].astype(np.float32) / 255
        mixed = array[..., :3] * share + 255 * (1 - share)
        return mixed.round().astype(np.uint8)
    array = array.reshape(*array.shape[:2], channels)
    return np.broadcast_to(array, (*array.shape[:2], 3)).copy()  # a transform may write to it


def picture_pixels(picture: Image.Image, name: str, turn: bool = True) -> np.ndarray:
    """(h, w, 3) of a Pillow image of any mode: its first picture, over white.

    Args:
        picture: The image; a file that it was opened on is read here.
        name: For messages.
        turn: Turn it as its EXIF data says.

    Raises:
        UsageError: If it can't be decoded, or its values have no known range.
    """
    load_picture(picture, name)
    if turn:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith('I'):
        picture = _upper_byte(picture, name)
    if picture.mode == 'F':
        raise UsageError(
            f'photo {name} has floating-point pixels, whose range is not known: save it with 8 or '
            '16 bits'
        )
    if picture.has_transparency_data:
        picture = picture.convert('RGBA')
        white = Image.new('RGBA', picture.size, 'white')
        picture = Image.alpha_composite(white, picture)
    return np.ascontiguousarray(np.asarray(picture.convert('RGB'))[..., ::-1])


def is_translucent(picture: Image.Image, name: str) -> bool:
    """Whether any pixel of an image with transparency is not opaque."""
    load_picture(picture, name)
    return bool(np.asarray(picture.convert('RGBA').getchannel('A')).min() < 255)


def load_picture(picture: Image.Image, name: str) -> None:
    """Decode it; raises ``UsageError`` where that fails, as for a truncated file."""
    try:
        picture.load()
    except Exception as error:  # noqa: BLE001 - decoders raise errors of many kinds
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f'photo {name} can not be decoded ({line}): replace it') from None


def _upper_byte(picture: Image.Image, name: str) -> Image.Image:
    """16 bits as 8, as OpenCV reads them."""
    values = np.asarray(picture)
    if values.size and (values.min() < 0 or values.max() >= 2**16):
        raise UsageError(
            f'photo {name} has values from {values.min()} to {values.max()}: save it with 8 or 16 '
            'bits'
        )
    return Image.fromarray((values >> 8).astype(np.uint8))
