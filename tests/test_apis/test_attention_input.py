# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Photos as the network sees them, and which part of a photo a heat map covers."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.utils import ClsDataPreprocessor
from PIL import Image
from torch import nn

from cnnrnn_mm.apis.attention.network_input import read_network_input
from cnnrnn_mm.apis.trained_model import TrainedModel
from cnnrnn_mm.errors import UsageError

LOAD, PACK = dict(type='cnnrnn_mm.LoadImage'), dict(type='PackInputs')


def reader(*transforms, **preprocessor):
    """What reads photos; there is no network behind it."""
    model = nn.Linear(1, 1)
    model.data_preprocessor = ClsDataPreprocessor(
        **dict(mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True), **preprocessor
    )
    cfg = Config(dict(default_scope='mmpretrain'))
    return TrainedModel(model, ('a', 'b'), [LOAD, *transforms, PACK], cfg, 'x.pth')


def photo(height=40, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_without_transforms_the_input_is_the_photo():
    pixels = photo()
    given = read_network_input(reader(), pixels)
    assert torch.equal(given.inputs[0], torch.from_numpy(pixels.transpose(2, 0, 1)).float())  # RGB
    assert np.array_equal(given.photo, pixels)
    assert given.extent == (0, 0, 1, 1)
    assert given.size == (40, 80)


def test_a_file_an_array_and_a_pillow_image_are_the_same(tmp_path):
    pixels = photo()
    path = tmp_path / 'photo.png'
    Image.fromarray(pixels).save(path)
    trained = reader(dict(type='Resize', scale=(30, 20)))
    found = [
        read_network_input(trained, one)
        for one in (pixels, path, str(path), path.read_bytes(), Image.fromarray(pixels))
    ]
    for one in found:
        assert torch.equal(one.inputs, found[0].inputs)
        assert np.array_equal(one.photo, pixels)


CENTRE = dict(type='CenterCrop', crop_size=32)
SHORT = dict(type='ResizeEdge', scale=32, edge='short')
LONG = dict(type='ResizeEdge', scale=32, edge='long')


@pytest.mark.parametrize(
    ('transforms', 'size', 'extent'),
    [
        ([dict(type='Resize', scale=(225, 225))], (225, 225), (0, 0, 1, 1)),
        ([LONG], (16, 32), (0, 0, 1, 1)),
        ([SHORT, CENTRE], (32, 32), (0.25, 0, 0.75, 1)),  # of 32 x 64, the middle 32 x 32
        ([CENTRE], (32, 32), (0.3, 0.1, 0.7, 0.9)),
        ([dict(type='CenterCrop', crop_size=(40, 20))], (20, 40), (0.25, 0.25, 0.75, 0.75)),
    ],
)
def test_the_extent_is_the_part_that_is_seen(transforms, size, extent):
    given = read_network_input(reader(*transforms), photo(40, 80))
    assert given.size == size
    assert given.extent == pytest.approx(extent, abs=0.004)
    assert given.photo.shape == (40, 80, 3)


@pytest.mark.parametrize(
    'transform',
    [
        dict(type='RandomFlip', prob=1.0),
        dict(type='Pad', size=(128, 128)),
        dict(type='Rotate', angle=30.0, prob=1.0),
        dict(type='Invert', prob=1.0),
    ],
)
def test_what_is_no_plain_cut_is_shown_as_the_network_sees_it(transform):
    given = read_network_input(reader(transform), photo())
    assert given.extent == (0, 0, 1, 1)
    seen = given.inputs[0].permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.array_equal(given.photo, seen)


def test_padding_of_the_preprocessor_is_no_part_of_the_image():
    given = read_network_input(reader(pad_size_divisor=64), photo(40, 80))
    assert given.inputs.shape == (1, 3, 64, 128)
    assert given.size == (40, 80)


def test_grey_photos_have_three_channels():
    trained = reader()
    trained.pipeline[0] = dict(LOAD, color_type='grayscale')
    trained.model.data_preprocessor = ClsDataPreprocessor(mean=[0], std=[1])
    given = read_network_input(trained, photo())
    assert given.photo.shape == (40, 80, 3)
    assert (given.photo[..., 0] == given.photo[..., 2]).all()
    assert given.extent == (0, 0, 1, 1)


def test_an_input_of_the_network_goes_in_as_it_is():
    ready = torch.randn(1, 3, 8, 12)
    given = read_network_input(reader(), ready)
    assert torch.equal(given.inputs, ready)
    assert given.photo is None and given.size == (8, 12)
    with pytest.raises(UsageError, match=r'shape \(2, 3, 8, 12\): give \(1, 3, H, W\)'):
        read_network_input(reader(), ready.repeat(2, 1, 1, 1))


def test_several_photos_and_none_are_refused(tmp_path):
    for name in 'ab':
        Image.fromarray(photo()).save(tmp_path / f'{name}.png')
    with pytest.raises(UsageError, match='is 2 photos: give one at a time'):
        read_network_input(reader(), tmp_path)
    with pytest.raises(UsageError, match='does not exist'):
        read_network_input(reader(), tmp_path / 'c.png')
    (tmp_path / 'text.jpg').write_text('no picture')
    with pytest.raises(UsageError, match='is not a picture'):
        read_network_input(reader(), tmp_path / 'text.jpg')
