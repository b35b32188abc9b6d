# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What an uploaded file has to be before anything decodes it."""

import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ...errors import UsageError

__all__ = ['FORMATS', 'UploadLimits']

#: Kinds of files, by Pillow's names; no others are even tried.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'BMP', 'TIFF')
READABLE = 'JPEG, PNG, WebP, GIF, BMP or TIFF'
#: A pipeline that brings the short edge to a fixed size makes the long one longer by this at most.
LONGEST_RATIO = 25

_HEADER_LOCK = threading.Lock()


@dataclass(frozen=True)
class UploadLimits:
    """How large an upload may be.

    Args:
        max_bytes: Largest file, in bytes.
        max_pixels: Most pixels, width times height.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        """Refuse limits that would let nothing through."""
        if self.max_bytes <= 0 or self.max_pixels <= 0:
            raise UsageError(
                f'the limits of an upload are {self.max_bytes} bytes and {self.max_pixels} pixels: '
                'both must be above 0'
            )

    def check(self, path: Path, name: str) -> tuple[int, int]:
        """Look at a file's size and at its header; nothing is decoded.

        Args:
            path: The file.
            name: What its owner calls it, for messages.

        Returns:
            Width and height in pixels, as stored.

        Raises:
            UsageError: If it is empty, too large, no image, or too many pixels; names the size and
                the limit.
        """
        shown = short_name(name)
        count = path.stat().st_size
        if count == 0:
            raise UsageError(f'{shown} is empty (0 bytes): choose another file')
        if count > self.max_bytes:
            raise UsageError(
                f'{shown} has {_megabytes(count)} MB, and the limit is '
                f'{_megabytes(self.max_bytes)} MB: save it smaller'
            )
        width, height = _header_size(path, shown)
        if width * height > self.max_pixels:
            raise UsageError(
                f'{shown} is {width:,} x {height:,} pixels, which is {width * height / 1e6:,.1f} '
                f'megapixels, and the limit is {self.max_pixels / 1e6:,.4g}: save it smaller'
            )
        if max(width, height) > LONGEST_RATIO * min(width, height):
            raise UsageError(
                f'{shown} is {width:,} x {height:,} pixels: one side may be at most '
                f'{LONGEST_RATIO} times as long as the other, so cut it'
            )
        return width, height


def short_name(name: str, longest: int = 60) -> str:
    """A file's name in quotes, for a message: in one line, and cut in the middle if long."""
    name = ' '.join(name.split())
    if len(name) > longest:
        half = (longest - 1) // 2
        name = f'{name[:half]}…{name[-half:]}'
    return f'"{name}"'


def _header_size(path: Path, shown: str) -> tuple[int, int]:
    """Width and height as the header says, however many pixels that are."""
    with _HEADER_LOCK:
        # Pillow refuses very large images by itself, but then does not say how large they are.
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
        except UnidentifiedImageError:
            raise UsageError(
                f'{shown} is not an image that can be read here, whatever its name says: choose a '
                f'{READABLE} file'
            ) from None
        # Decoders meet damaged headers with SyntaxError, struct.error and others.
        except Exception as error:  # noqa: BLE001
            raise UsageError(
                f'{shown} is damaged ({type(error).__name__}: {error}): choose another file'
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = before
    if width <= 0 or height <= 0:
        raise UsageError(f'{shown} is {width} x {height} pixels: choose another file')
    return width, height


def _megabytes(count: int) -> str:
    return f'{count / 1e6:,.3g}'
