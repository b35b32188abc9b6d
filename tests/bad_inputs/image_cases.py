# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Photos that can't be read, and odd ones that can."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .case import Case
from .config_cases import train
from .good_run import GoodRun

__all__ = ['IMAGE_CASES', 'png_bomb', 'predict']

#: What a truncated file lacks, in bytes.
CUT = 400


def predict(run: GoodRun, *words: object) -> list:
    """Arguments of a prediction in this process."""
    common = ('--checkpoint', run.checkpoint, '--device', 'cpu', '--workers', 0)
    return [*common, *words]


def png_bomb(path: Path, width: int = 60_000, height: int = 60_000) -> Path:
    """A small PNG file whose header promises a huge picture."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b'\0' * 1_000_000, 9)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        )

    parts = chunk(b'IHDR', header), chunk(b'IDAT', rows), chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(parts))
    return path


def _photo(
    name: str, write: Callable[[Path], object], says: str, status: int = 1, file: str = 'a.jpg'
) -> Case:
    """``write`` is given the path of the photo."""

    def make(run: GoodRun, here: Path) -> list:
        write(here / file)
        return predict(run, here / file)

    return Case('image', name, 'predict.py', make, says, status)


def _trained_on(name: str, write: Callable[[Path], object], says: str) -> Case:
    """The same photo, met in training."""

    def make(run: GoodRun, here: Path) -> list:
        voc = run.voc_copy(here)
        write(voc / 'JPEGImages' / 'train_0003.jpg')
        return train(run.config_with(here, '', voc), here)

    return Case('image', f'training on {name}', 'train.py', make, says)


def _huge(path: Path) -> Path:
    return png_bomb(path, 20_000, 20_000)


def _tested_on_a_huge_photo(run: GoodRun, here: Path) -> list:
    voc = run.voc_copy(here)
    _huge(voc / 'JPEGImages' / 'val_0001.jpg')
    return [run.config_with(here, '', voc), run.checkpoint, '--work-dir', here / 'work']


def _text(path: Path) -> None:
    path.write_text('no picture at all\n' * 9)


def _truncated(path: Path) -> None:
    kind = {'.jpg': 'JPEG', '.png': 'PNG', '.tif': 'TIFF'}[path.suffix]
    GoodRun.picture(path, format=kind)
    path.write_bytes(path.read_bytes()[:-CUT])


def _animated(path: Path) -> None:
    pictures = [Image.new('RGB', (32, 32), colour) for colour in ('red', 'blue')]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 60).save(path)


SVG = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
READ = 'nothing'

IMAGE_CASES = (
    _photo('a file that does not exist', lambda path: None, 'a.jpg does not exist'),
    _photo('an empty file', lambda path: path.write_bytes(b''), 'a.jpg is empty'),
    _photo('a text', _text, 'a.jpg is not a picture'),
    _photo('NUL bytes', lambda path: path.write_bytes(bytes(5000)), 'a.jpg'),
    _photo('a truncated JPEG', _truncated, 'a.jpg'),
    _photo('a truncated PNG', _truncated, 'a.png', file='a.png'),
    _photo('a truncated TIFF', _truncated, 'a.tif', file='a.tif'),
    _photo('a JPEG header alone', lambda path: path.write_bytes(b'\xff\xd8\xff\xe0\0\x10JFIF\0'),
           'a.jpg'),
    _photo('a PNG of 0 x 0', lambda path: png_bomb(path, 0, 0), 'a.png', file='a.png'),
    _photo('a decompression bomb', png_bomb, 'a.png', file='a.png'),
    _photo('an SVG that names a file', lambda path: path.write_text(SVG), 'a.svg is not a picture',
           file='a.svg'),
    _photo('a folder without photos', lambda path: path.mkdir(), 'a.jpg has no photos', 2),
    _photo('a pattern that fits nothing', lambda path: None, '*.jpg', 2, '*.jpg'),
    _photo('a terminal code in the name', _text, 'not a picture', file='\x1b[31m.jpg'),
    _photo('1 x 1 pixel', lambda path: GoodRun.picture(path, size=(1, 1)), READ, 0),
    _photo('3000 x 1 pixels', lambda path: GoodRun.picture(path, size=(3000, 1)), READ, 0),
    _photo('CMYK', lambda path: GoodRun.picture(path, 'CMYK'), READ, 0),
    _photo('16 bits', _sixteen_bits, READ, 0, 'a.png'),
    _photo('an animation', _animated, READ, 0, 'a.gif'),
    _photo('a palette with transparency', lambda path: Image.new('P', (32, 32)).save(
        path, transparency=0), READ, 0, 'a.png'),
    _trained_on('an empty file', lambda path: path.write_bytes(b''), 'train_0003.jpg'),
    _trained_on('a text', _text, 'train_0003.jpg'),
    _trained_on('a decompression bomb', png_bomb, 'train_0003.jpg'),
    _trained_on('20,000 x 20,000 pixels', _huge, '400000000 pixels, more than max_pixels'),
    Case('image', 'testing on 20,000 x 20,000 pixels', 'test.py', _tested_on_a_huge_photo,
         '400000000 pixels, more than max_pixels'),
    _trained_on('a photo that is not there', Path.unlink, 'train_0003.jpg'),
)  # fmt: skip
