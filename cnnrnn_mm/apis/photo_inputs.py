# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a user names as photos, as a list of them."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UsageError

__all__ = ['PHOTO_SUFFIXES', 'Photo', 'is_address', 'list_photos']

SCHEMES = ('http://', 'https://')
#: Of the files in a folder, those with such an ending are photos.
PHOTO_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.jp2', '.j2k', '.jpf', '.jpx', '.png', '.apng', '.gif'),
    *('.webp', '.avif', '.avifs', '.bmp', '.dib', '.tif', '.tiff', '.tga'),
    *('.pbm', '.pgm', '.pnm', '.ppm'),
)


@dataclass(frozen=True)
class Photo:
    """One photo, not read yet.

    Attributes:
        source: A path, an ``http(s)`` address, a file's content, an array (h, w, 3) in BGR order or
            a Pillow image.
        name: For messages and names of files: ``'dog.jpg'``, ``'photo 3'``.
        path: The path or address; None for what has none.
    """

    source: Any
    name: str
    path: str | None


def list_photos(inputs: Any) -> list[Photo]:
    """The photos that ``inputs`` names, in order.

    Args:
        inputs: One of these, or a list or another iterable of them:

            - a path of a file;
            - an address, ``http://`` or ``https://``;
            - a folder: its files with an ending of :data:`PHOTO_SUFFIXES`, by name, without the
              folders in it;
            - a pattern with ``*``, ``?`` or ``[...]``: the matching files with such an ending, by
              path; ``**`` stands for any folders;
            - a file's content as ``bytes``;
            - an array (h, w, 3), uint8, in BGR order, as the host's inferencers take it; (h, w) or
              (h, w, 1) is grey, (h, w, 4) has transparency last;
            - a Pillow image;
            - a :class:`Photo`.

    Raises:
        UsageError: If it is none of these, or there is no photo in it. Whether a file exists and
            can be read is found out when it is read.
    """
    single = isinstance(inputs, (str, os.PathLike, bytes, np.ndarray, Image.Image, Photo))
    if not single and not isinstance(inputs, Iterable):
        raise UsageError(_not_a_photo(inputs))
    found: list[Photo] = []
    for one in [inputs] if single else inputs:
        if isinstance(one, (str, os.PathLike)):
            found.extend(_named(os.fspath(one)))
        elif isinstance(one, Photo):
            found.append(one)
        elif isinstance(one, (bytes, np.ndarray, Image.Image)):
            found.append(Photo(one, f'photo {len(found)}', None))
        else:
            raise UsageError(_not_a_photo(one))
    if not found:
        raise UsageError('no photo is given: name at least one')
    return found


def is_address(path: str) -> bool:
    """Whether it is to be fetched."""
    return path.lower().startswith(SCHEMES)


def _named(path: str) -> list[Photo]:
    if is_address(path):
        return [Photo(path, path, path)]
    if '://' in path:
        raise UsageError(f'{path} is neither a path nor an http(s) address: fetch it, and name it')
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        files = sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        return _photos_of(files, f'folder {path}', 'name one, or the files, or a pattern')
    if glob.has_magic(path) and not os.path.lexists(path):
        files = sorted(one for one in glob.iglob(path, recursive=True) if os.path.isfile(one))
        return _photos_of(files, f'pattern {path}', 'check it')
    return [Photo(path, path, path)]


def _photos_of(files: list[str], where: str, remedy: str) -> list[Photo]:
    photos = [one for one in files if Path(one).suffix.lower() in PHOTO_SUFFIXES]
    if not photos:
        others = f', but {len(files)} other file{"s" * (len(files) > 1)}' if files else ''
        raise UsageError(f'{where} has no photos (.jpg, .png, ...){others}: {remedy}')
    return [Photo(one, one, one) for one in photos]


def _not_a_photo(given: object) -> str:
    return (
        f'a {type(given).__name__} is no photo: give a path, an address, a folder, a pattern, '
        'bytes, an array (h, w, 3) or a Pillow image, or a list of those'
    )
