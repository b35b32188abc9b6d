# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One photo as pixels, whatever its format, or one line that says why not."""

import io

import cv2
import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..datasets.pixel_limit import MAX_PIXELS
from ..errors import UsageError
from .photo_download import download_photo
from .photo_inputs import Photo, is_address
from .photo_pixels import array_pixels, is_translucent, load_picture, picture_pixels

__all__ = ['MAX_PIXELS', 'PhotoReader']

ORIENTATION = 0x0112  # the EXIF tag
#: OpenCV has long turned these as EXIF says; for other formats it depends on its version.
TURNED_BY_DECODER = ('JPEG', 'MPO')
#: Files that Pillow hands to another program, which would run them.
PROGRAMS = ('EPS', 'WMF')
START_OF_SCAN, END_OF_IMAGE = b'\xff\xda', b'\xff\xd9'  # JPEG's markers


class PhotoReader:
    """Read photos as the test pipeline's loading transform does, and what that does badly, well.

    What the loading transform reads well gives the same pixels here. Otherwise:

    - transparency is laid over white, where the decoders would show what is hidden under it;
    - of an animation the first picture counts;
    - a format that the decoder lacks is read by Pillow, and so is a turned photo (EXIF) whose
      format the decoder may not turn;
    - of 16 bits the upper 8 count, where the decoder is Pillow, too;
    - a truncated file is an error, where some decoders fill it up with grey.

    Args:
        color_type: As of the host's ``LoadImageFromFile``: ``'color'`` gives (h, w, 3) in BGR
            order, ``'grayscale'`` (h, w), ``'unchanged'`` leaves all to the decoder.
        backend: Its ``imdecode_backend``.
        max_pixels: Most that a photo may have, seen before it is decoded. Pillow's limit holds
            beside it.
        timeout: Seconds that fetching a photo may take.
        max_bytes: Most that is fetched.
    """

    def __init__(
        self,
        color_type: str = 'color',
        backend: str | None = 'cv2',
        max_pixels: int = MAX_PIXELS,
        timeout: float = 20.0,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self.color_type, self.backend = color_type, backend
        self.max_pixels = max_pixels
        self.timeout, self.max_bytes = timeout, max_bytes
        self.turns = not color_type.endswith('ignore_orientation')

    def __call__(self, photo: Photo) -> np.ndarray:
        """The pixels, uint8.

        Raises:
            UsageError: If there are none; names the photo, the reason and the remedy.
        """
        source, name = photo.source, photo.name
        if isinstance(source, np.ndarray):
            return self._in_colour(array_pixels(source, name))
        if isinstance(source, Image.Image):
            self._check_size(source.size, name)
            return self._in_colour(picture_pixels(source, name, self.turns))
        content = source if isinstance(source, bytes) else self._content(source)
        if not content:
            raise UsageError(f'photo {name} is empty (0 bytes): replace it')
        return self._decode(content, name)

    def _content(self, path: str) -> bytes:
        if is_address(path):
            return download_photo(path, self.timeout, self.max_bytes)
        try:
            with open(path, 'rb') as file:
                return file.read()
        except FileNotFoundError:
            raise UsageError(f'photo {path} does not exist: check the path') from None
        except (OSError, ValueError) as error:
            why = getattr(error, 'strerror', None) or str(error)
            raise UsageError(f'photo {path} can not be read ({why}): check it') from None

    def _decode(self, content: bytes, name: str) -> np.ndarray:
        """The pixels of a file's content."""
        picture = self._open(content, name)
        if self.color_type != 'unchanged':
            if not _seems_whole(content, picture.format):
                load_picture(picture, name)  # says whether it is
            if self._is_odd(picture, name):
                return self._in_colour(picture_pixels(picture, name, self.turns))
        try:
            pixels = mmcv.imfrombytes(content, flag=self.color_type, backend=self.backend)
        except Exception:  # noqa: BLE001 - decoders raise errors of many kinds
            pixels = None
        if pixels is None:
            pixels = self._in_colour(picture_pixels(picture, name, self.turns))
        return pixels

    def _open(self, content: bytes, name: str) -> Image.Image:
        """Read the header alone."""
        try:
            picture = Image.open(io.BytesIO(content))
        except UnidentifiedImageError:
            raise UsageError(f'photo {name} is not a picture: replace it') from None
        except Image.DecompressionBombError:
            raise UsageError(_too_large(name, 'more', self.max_pixels)) from None
        except Exception as error:  # noqa: BLE001 - decoders raise errors of many kinds
            line = (str(error) or type(error).__name__).splitlines()[0]
            raise UsageError(f'photo {name} can not be decoded ({line}): replace it') from None
        if picture.format in PROGRAMS:
            raise UsageError(f'photo {name} is a {picture.format} file, not a picture: replace it')
        self._check_size(picture.size, name)
        return picture

    def _check_size(self, size: tuple[int, int], name: str) -> None:
        if size[0] * size[1] > self.max_pixels:
            raise UsageError(_too_large(name, f'{size[0]} x {size[1]}', self.max_pixels))

    def _is_odd(self, picture: Image.Image, name: str) -> bool:
        """Whether the loading transform would not show it as it is meant."""
        if picture.mode.startswith(('I', 'F')) and self.backend == 'pillow':
            return True
        may_lie = self.turns and picture.format not in TURNED_BY_DECODER
        if may_lie and picture.getexif().get(ORIENTATION, 1) != 1:
            return True
        return picture.has_transparency_data and is_translucent(picture, name)

    def _in_colour(self, pixels: np.ndarray) -> np.ndarray:
        """BGR pixels as ``color_type`` says."""
        if self.color_type.startswith('grayscale'):
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        return pixels


def _seems_whole(content: bytes, kind: str | None) -> bool:
    """Whether a JPEG or PNG file has its end; other formats need no such look."""
    if kind in TURNED_BY_DECODER:
        return content.rfind(END_OF_IMAGE) > content.rfind(START_OF_SCAN)
    return kind != 'PNG' or b'IEND' in content[-64:]


def _too_large(name: str, what: str, most: int) -> str:
    return f'photo {name} has {what} pixels, and at most {most:,} are read: make it smaller'
