# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import io

import cv2
import numpy as np
import pytest
from bad_inputs.bounded import run_bounded
from bad_inputs.image_cases import png_bomb
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from cnnrnn_mm.datasets import LoadImage, ReadableImages
from cnnrnn_mm.datasets.pixel_limit import MAX_PIXELS, count_pixels
from cnnrnn_mm.datasets.readable_images import why_unreadable
from cnnrnn_mm.errors import UsageError

EXIF = b'Exif\0\0' + b'\xff' * 999


@pytest.fixture
def photo(tmp_path):
    """24 x 16 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    return str(tmp_path / 'a.png')


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(to_float32=True),
        dict(color_type='grayscale'),
        dict(imdecode_backend='pillow', backend_args=dict(backend='local')),
    ],
)
@pytest.mark.parametrize('limit', [{}, dict(max_pixels=None), dict(max_pixels=24 * 16)])
def test_what_it_gives_is_what_the_host_gives(photo, options, limit):
    expected = LoadImageFromFile(**options)(dict(img_path=photo, gt_label=[1]))
    found = LoadImage(**options, **limit)(dict(img_path=photo, gt_label=[1]))
    assert found.keys() == expected.keys()
    assert found['img'].dtype == expected['img'].dtype
    assert np.array_equal(found['img'], expected['img'])
    assert found['img_shape'] == found['ori_shape'] == expected['ori_shape'] == (16, 24)


def test_one_pixel_too_many(photo):
    with pytest.raises(UsageError) as caught:
        LoadImage(max_pixels=24 * 16 - 1)(dict(img_path=photo))
    line = f'cannot read image {photo} (384 pixels, more than max_pixels=383 of LoadImage)'
    assert str(caught.value).startswith(line) and 'ReadableImages' in str(caught.value)


def test_a_picture_of_20000_x_20000_is_not_decoded(tmp_path):
    """Decoded, it takes 1.2 GB; the process may take 300 MB more than it has."""
    path = str(png_bomb(tmp_path / 'a.png', 20_000, 20_000))

    def load():
        with pytest.raises(UsageError) as caught:
            LoadImage()(dict(img_path=path))
        return str(caught.value)

    said = run_bounded(load, megabytes=300, seconds=20)
    assert f'{path} (400000000 pixels, more than max_pixels=178956970 of' in said


def test_the_limit_may_be_above_pillows(tmp_path):
    """Pillow refuses to open 13,500 x 13,500, which is read where it is allowed."""
    path = tmp_path / 'a.png'
    Image.new('1', (13_500, 13_500)).save(path)
    assert count_pixels(path.read_bytes()) == 13_500**2 > MAX_PIXELS
    with pytest.raises(UsageError, match='182250000 pixels, more than max_pixels=178956970'):
        LoadImage()(dict(img_path=str(path)))
    gray = dict(color_type='grayscale')
    for limit in (13_500**2, None):
        found = LoadImage(max_pixels=limit, **gray)(dict(img_path=str(path)))
        assert found['img_shape'] == (13_500, 13_500)
    assert 'more than max_pixels=5 of' in why_unreadable(str(path), 5)


def test_a_format_that_pillow_lacks_is_left_to_the_decoder(tmp_path):
    content = b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n' + bytes([128] * 16)
    (tmp_path / 'a.hdr').write_bytes(content)
    assert count_pixels(content) is None
    assert LoadImage()(dict(img_path=str(tmp_path / 'a.hdr')))['img_shape'] == (2, 2)


@pytest.mark.parametrize('size', [(7, 300), (300, 7), (1, 1), (4000, 3000)])
@pytest.mark.parametrize(
    'options',
    [
        dict(format='JPEG'),
        dict(
            format='JPEG',
            progressive=True,
            comment=b'\xff\xc0' * 99,
            exif=EXIF,
        ),
        dict(format='PNG'),
        dict(format='GIF'),
        dict(format='BMP'),
    ],
)
def test_pixels_are_counted_by_the_header(size, options):
    file = io.BytesIO()
    Image.new('L', size, 200).save(file, **options)
    content = file.getvalue()
    assert count_pixels(content) == size[0] * size[1]
    assert count_pixels(content[:5]) is None


def test_a_jpeg_file_is_counted_whatever_stands_before_its_size():
    """Fill bytes, which the quick way leaves to Pillow, and segments that look like a size."""
    file = io.BytesIO()
    Image.new('L', (30, 20)).save(file, format='JPEG')
    start, rest = file.getvalue()[:2], file.getvalue()[2:]
    fake = b'\xff\xfe\x00\x0b\xff\xc0\x00\x08\x08\xff\xff\xff\xff'
    for between in (b'', b'\xff' * 3, fake, fake * 3 + b'\xff'):
        content = start + between + rest
        assert cv2.imdecode(np.frombuffer(content, np.uint8), 0).shape == (20, 30)
        assert count_pixels(content) == 600


def test_nothing_where_the_host_is_told_to_ignore(tmp_path):
    assert LoadImage(ignore_empty=True)(dict(img_path=str(tmp_path / 'none.jpg'))) is None


@pytest.mark.parametrize('limit', [0, -1, 1.5, True, '5'])
def test_limits_that_are_none(limit):
    with pytest.raises(UsageError, match=f'LoadImage has max_pixels={limit!r}: set it to a whole'):
        LoadImage(max_pixels=limit)


def test_the_limit_is_shown():
    assert repr(LoadImage(max_pixels=7)).endswith('backend_args=None, max_pixels=7)')


def test_readable_images_keep_to_the_limit_of_the_pipeline(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': [['dog'], ['cat'], []]})
    Image.new('RGB', (33, 32)).save(root / 'JPEGImages' / 'train_0001.jpg')

    def kept(**limit):
        dataset = dict(
            type='VOC', data_root=str(root), split='train', metainfo=dict(classes=['cat', 'dog']),
            pipeline=[dict(type='cnnrnn_mm.LoadImage', **limit)], _scope_='mmpretrain',
        )  # fmt: skip
        built = ReadableImages(dataset)
        assert all(built[index]['img'] is not None for index in range(len(built)))
        return [built.get_data_info(index)['img_path'][-8:-4] for index in range(len(built))]

    assert kept() == kept(max_pixels=None) == kept(max_pixels=33 * 32) == ['0000', '0001', '0002']
    assert kept(max_pixels=33 * 32 - 1) == ['0000', '0002']
