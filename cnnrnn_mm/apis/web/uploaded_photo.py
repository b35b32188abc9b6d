# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A photo that a visitor gave to the page."""

import base64
import io
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ...errors import UsageError
from ..photo_inputs import Photo
from ..photo_reading import PhotoReader
from .upload_checks import UploadLimits, short_name

__all__ = ['UploadedPhoto', 'fit_picture', 'picture_address']

#: Longest edge of the picture that the page shows, in pixels.
SHOWN_EDGE = 960


@dataclass(frozen=True)
class UploadedPhoto:
    """A checked photo, in a file of its own.

    Attributes:
        path: The file, byte for byte as it was uploaded, under a name that nobody can guess.
        name: What its owner calls it.
        size: Width and height in pixels, upright.
        picture: The photo upright, its long edge at most 960 pixels, as a ``data:`` address.
    """

    path: Path
    name: str
    size: tuple[int, int]
    picture: str

    @classmethod
    def take(cls, upload: Path, name: str, limits: UploadLimits, folder: Path) -> 'UploadedPhoto':
        """Check an upload, decode it once, and keep a copy of it.

        Args:
            upload: The uploaded file, which stays where it is: whoever uploads the same bytes under
                the same name gets the same file from Gradio.
            name: What its owner calls it.
            limits: Limits that it has to keep.
            folder: Where the copy goes.

        Raises:
            UsageError: If it breaks a limit, is no image or is damaged.
        """
        limits.check(upload, name)
        pixels = _read(upload, name)
        kept = folder / f'{secrets.token_hex(16)}{upload.suffix.lower()}'
        try:
            kept.hardlink_to(upload)
        except OSError:  # not on every file system
            shutil.copyfile(upload, kept)
        height, width = pixels.shape[:2]
        picture = picture_address(fit_picture(pixels, SHOWN_EDGE, enlarge=False), 'JPEG')
        return cls(kept, name, (width, height), picture)

    def pixels(self) -> np.ndarray:
        """(h, w, 3) uint8, RGB: the photo upright, its long edge at most 960."""
        return fit_picture(_read(self.path, self.name), SHOWN_EDGE, enlarge=False)

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def picture_address(pixels: np.ndarray, kind: str = 'PNG') -> str:
    """An array (h, w, 3), RGB, uint8, as a ``data:`` address, so that no file is written for it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **(dict(quality=88) if kind == 'JPEG' else {}))
    text = base64.b64encode(stream.getvalue()).decode('ascii')
    return f'data:image/{kind.lower()};base64,{text}'


def _read(path: Path, name: str) -> np.ndarray:
    """(h, w, 3), RGB, in full size."""
    try:
        return PhotoReader()(Photo(str(path), short_name(name), None))[..., ::-1]
    except cv2.error as error:
        raise UsageError(f'{short_name(name)} is damaged ({error.err}): choose another') from None


def fit_picture(pixels: np.ndarray, edge: int, enlarge: bool = True) -> np.ndarray:
    """A picture (h, w, 3) with a long edge of ``edge``, or less: whole numbers enlarge it."""
    height, width = pixels.shape[:2]
    scale = edge / max(height, width)
    if scale >= 1:
        times = max(int(scale), 1) if enlarge else 1
        return np.ascontiguousarray(pixels.repeat(times, 0).repeat(times, 1))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
