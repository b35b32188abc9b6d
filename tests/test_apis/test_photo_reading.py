# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Pictures of every kind, against what was drawn into them."""

import io

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from cnnrnn_mm.apis.photo_inputs import Photo
from cnnrnn_mm.apis.photo_reading import PhotoReader
from cnnrnn_mm.errors import UsageError

TURNED_LEFT = 6  # the EXIF value of a photo to be turned to the right by 90 degrees


@pytest.fixture(scope='module')
def scene():
    """(48, 64, 3), RGB: smooth, and each corner has its own colour."""
    down, right = np.mgrid[0:48, 0:64]
    return np.stack([4 * right, 5 * down, 255 - 2 * right - down], -1).astype(np.uint8)


@pytest.fixture(scope='module')
def picture(scene):
    return Image.fromarray(scene)


def encode(picture, kind, **options):
    with io.BytesIO() as file:
        picture.save(file, kind, **options)
        return file.getvalue()


def read(content, name='a.jpg', **options):
    """RGB pixels as signed numbers."""
    return PhotoReader(**options)(Photo(content, name, None))[..., ::-1].astype(int)


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('JPEG', {}),
        ('JPEG', {'progressive': True}),
        ('PNG', {}),
        ('WEBP', {}),
        ('BMP', {}),
        ('TIFF', {}),
        ('PPM', {}),
    ],
)
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_ordinary_photos_are_read_as_the_host_reads_them(picture, kind, options, mode):
    content = encode(picture.convert(mode), kind, **options)
    found = PhotoReader()(Photo(content, 'a', None))
    assert np.array_equal(found, mmcv.imfrombytes(content))
    grey = PhotoReader('grayscale')(Photo(content, 'a', None))
    assert np.array_equal(grey, mmcv.imfrombytes(content, flag='grayscale'))
    pillow = PhotoReader(backend='pillow')(Photo(content, 'a', None))
    assert np.array_equal(pillow, mmcv.imfrombytes(content, backend='pillow'))


def grey_of(scene):
    return np.asarray(Image.fromarray(scene).convert('L')).astype(int)[..., None].repeat(3, 2)


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize(
    ('kind', 'mode', 'apart'),
    [
        ('JPEG', 'CMYK', 5),
        ('TIFF', 'CMYK', 2),
        ('JPEG', 'RGB', 4),
        ('PNG', 'RGBA', 0),
        ('PNG', 'P', 40),
        ('GIF', 'P', 40),
        ('ICO', 'RGB', 0),
        ('TGA', 'RGB', 0),
        ('JPEG2000', 'RGB', 0),
    ],
)
def test_colour_modes(scene, picture, backend, kind, mode, apart):
    options = {'sizes': [picture.size]} if kind == 'ICO' else {}
    found = read(encode(picture.convert(mode), kind, **options), backend=backend)
    assert found.shape == scene.shape
    assert np.abs(found - scene).mean() <= apart


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'PPM'])
def test_16_bits(scene, backend, kind):
    """Grey of 16 bits: the upper 8 bits count, whatever the lower ones are."""
    grey = grey_of(scene)[..., 0].astype(np.uint16)
    found = read(encode(Image.fromarray(grey * 256 + 77), kind), backend=backend)
    assert np.abs(found - grey[..., None]).max() <= 1


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_16_bits_in_colour(scene, backend):
    content = cv2.imencode('.png', scene[..., ::-1].astype(np.uint16) * 256 + 77)[1].tobytes()
    assert np.abs(read(content, backend=backend) - scene).max() <= 1


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize(
    ('kind', 'mode'), [('PNG', 'RGBA'), ('WEBP', 'RGBA'), ('TIFF', 'RGBA'), ('PNG', 'LA')]
)
def test_transparency_is_laid_over_white(scene, picture, backend, kind, mode):
    """The upper half is opaque, then comes a half-transparent quarter, then a clear one."""
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[24:36], alpha[36:] = 128, 0
    picture = picture.convert(mode[:-1]).convert(mode)
    picture.putalpha(Image.fromarray(alpha))
    options = {'lossless': True} if kind == 'WEBP' else {}
    found = read(encode(picture, kind, **options), backend=backend)
    base = scene.astype(int) if mode == 'RGBA' else grey_of(scene)
    assert np.array_equal(found[:24], base[:24])
    assert np.abs(found[24:36] - (base[24:36] * 128 + 255 * 127) / 255).max() <= 1
    assert (found[36:] == 255).all()


def test_a_transparent_colour_of_a_palette():
    picture = Image.new('P', (8, 8), 0)
    picture.putpalette([200, 0, 0, 0, 200, 0])
    picture.paste(1, (0, 0, 8, 4))
    found = read(encode(picture, 'PNG', transparency=0))
    assert (found[:4] == [0, 200, 0]).all()
    assert (found[4:] == 255).all()


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP', 'TIFF'])
def test_the_first_picture_of_an_animation(kind):
    first, second = (Image.new('RGB', (16, 12), colour) for colour in ('red', 'blue'))
    options = {'lossless': True} if kind == 'WEBP' else {}
    found = read(encode(first, kind, save_all=True, append_images=[second], **options))
    assert np.abs(found - [255, 0, 0]).max() <= 4
    assert found.shape == (12, 16, 3)


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_turned_photos(scene, picture, backend, kind):
    exif = Image.Exif()
    exif[0x0112] = TURNED_LEFT
    options = {'lossless': True} if kind == 'WEBP' else {}
    content = encode(picture, kind, exif=exif, **options)
    upright = np.rot90(scene, -1)
    assert np.abs(read(content, backend=backend) - upright).mean() < 3
    if kind == 'JPEG':
        lying = read(content, backend=backend, color_type='color_ignore_orientation')
        assert np.abs(lying - scene).mean() < 3


def test_arrays(scene):
    bgr = scene[..., ::-1]
    assert np.array_equal(read(bgr), scene)
    assert np.array_equal(read(scene[..., 0]), scene[..., :1].repeat(3, 2))
    assert np.array_equal(read(scene[..., :1]), scene[..., :1].repeat(3, 2))
    half = np.full((*scene.shape[:2], 1), 51, np.uint8)
    mixed = read(np.concatenate([bgr, half], 2))
    assert np.abs(mixed - (scene / 5 + 255 * 0.8)).max() <= 0.5 + 1e-4


def test_pillow_images(scene, picture):
    assert np.array_equal(read(picture), scene)
    exif = Image.Exif()
    exif[0x0112] = TURNED_LEFT
    turned = Image.open(io.BytesIO(encode(picture, 'PNG', exif=exif)))
    assert np.array_equal(read(turned), np.rot90(scene, -1))
    assert (read(Image.new('RGBA', (4, 4), (9, 9, 9, 0))) == 255).all()


@pytest.mark.parametrize(
    ('array', 'words'),
    [
        (np.zeros((4, 4, 3)), r'is an array of float64: give uint8'),
        (np.zeros((4, 4, 3), np.uint16), r'is an array of uint16: give uint8'),
        (np.zeros((4, 4, 2), np.uint8), r'of shape \(4, 4, 2\): give \(height, width, 3\)'),
        (np.zeros((1, 4, 4, 3), np.uint8), r'of shape \(1, 4, 4, 3\)'),
        (np.zeros((0, 4, 3), np.uint8), r'of shape \(0, 4, 3\)'),
        (np.zeros((), np.uint8), r'of shape \(\)'),
    ],
)
def test_arrays_that_are_no_photos(array, words):
    with pytest.raises(UsageError, match=words):
        read(array)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF'])
@pytest.mark.parametrize('share', [0.5, 0.9])
def test_truncated_files(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    content = encode(noise, kind)
    with pytest.raises(UsageError, match=r'photo a\.jpg can not be decoded \(.+\): replace it'):
        read(content[: int(share * len(content))])


def test_a_decoder_that_fills_up_is_not_asked(picture, monkeypatch):
    """As older OpenCV does with truncated JPEG and PNG files."""
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda *_, **__: np.zeros((48, 64, 3), np.uint8))
    for kind in ('JPEG', 'PNG'):
        content = encode(picture, kind)
        read(content)
        with pytest.raises(UsageError, match='can not be decoded'):
            read(content[: len(content) // 2])


def test_a_whole_photo_with_more_behind_it_is_read(picture, scene):
    content = encode(picture, 'JPEG') + b'more' + encode(picture, 'JPEG')[:99]
    assert np.abs(read(content) - scene).mean() < 3


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', r'photo a\.jpg is empty \(0 bytes\): replace it'),
        (b'This is text.\n' * 20, r'photo a\.jpg is not a picture: replace it'),
        (b'\xff\xd8\xff\xe0' + b'\0' * 50, r'photo a\.jpg'),
        (b'\x89PNG\r\n\x1a\n', r'photo a\.jpg is not a picture'),
        (b'\0' * 5000, 'is not a picture'),
    ],
)
def test_no_pictures(content, words):
    with pytest.raises(UsageError, match=words) as no:
        read(content)
    assert '\n' not in str(no.value)


def test_files(tmp_path, picture, scene):
    path = str(tmp_path / 'a.png')
    picture.save(path)
    reader = PhotoReader()
    assert np.array_equal(reader(Photo(path, path, path))[..., ::-1], scene)
    for path, words in (
        (str(tmp_path), r'can not be read \(Is a directory\)'),
        (str(tmp_path / 'none.png'), 'does not exist: check the path'),
        ('a\0b', 'can not be read'),
    ):
        with pytest.raises(UsageError, match=words):
            reader(Photo(path, path, path))


def test_too_many_pixels(picture, monkeypatch):
    content = encode(picture, 'PNG')
    read(content, max_pixels=48 * 64)
    with pytest.raises(UsageError, match=r'has 64 x 48 pixels, and at most 3,071 are read'):
        read(content, max_pixels=48 * 64 - 1)
    with pytest.raises(UsageError, match='64 x 48 pixels'):
        read(picture, max_pixels=48 * 64 - 1)


def test_a_pixel_bomb_is_refused_before_it_is_decoded(monkeypatch):
    """20,000 x 20,000 in 50 kB, and 60,000 x 60,000, which Pillow itself refuses."""
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda *_, **__: pytest.fail('it was decoded'))
    monkeypatch.setattr(Image.Image, 'load', lambda *_: pytest.fail('it was decoded'))
    for side in (20_000, 13_400, 60_000):
        header = b'\x89PNG\r\n\x1a\n' + chunk(
            b'IHDR', side.to_bytes(4, 'big') * 2 + bytes([8, 2, 0, 0, 0])
        )
        content = header + chunk(b'IDAT', b'\x78\x9c') + chunk(b'IEND', b'')
        with pytest.raises(UsageError, match=r'pixels, and at most 178,956,970 are read'):
            read(content)


def chunk(name, content):
    import zlib

    return (
        len(content).to_bytes(4, 'big')
        + name
        + content
        + zlib.crc32(name + content).to_bytes(4, 'big')
    )


def test_floating_point_pixels():
    content = encode(Image.fromarray(np.ones((4, 4), np.float32)), 'TIFF')
    with pytest.raises(UsageError, match='floating-point pixels, whose range is not known'):
        read(content, backend='pillow')


def test_a_program_for_another_program_is_not_run(tmp_path, monkeypatch):
    interpreter = tmp_path / 'gs'
    interpreter.write_text(f'#!/bin/sh\ntouch {tmp_path / "harm"}\n')
    interpreter.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    content = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n'
    with pytest.raises(UsageError, match=r'a\.jpg is a EPS file, not a picture'):
        read(content)
    assert not (tmp_path / 'harm').exists()
