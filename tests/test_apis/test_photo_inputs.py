# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnrnn_mm.apis.photo_inputs import PHOTO_SUFFIXES, Photo, list_photos
from cnnrnn_mm.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    """Photos b.JPG and a.png, another file, and a folder below with c.jpg."""
    for name in ('b.JPG', 'a.png', 'notes.txt', 'below/c.jpg', 'empty/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'-')
    (tmp_path / 'looks_like.jpg').mkdir()
    return tmp_path


def names(folder, inputs):
    return [str(Path(photo.path).relative_to(folder)) for photo in list_photos(inputs)]


def test_files_and_folders(folder):
    assert names(folder, folder / 'b.JPG') == ['b.JPG']
    assert names(folder, str(folder)) == ['a.png', 'b.JPG']
    assert names(folder, [folder / 'notes.txt', str(folder / 'below')]) == [
        'notes.txt',
        'below/c.jpg',
    ]


def test_patterns(folder):
    assert names(folder, f'{folder}/*') == ['a.png', 'b.JPG']
    assert names(folder, f'{folder}/**/*.jpg') == ['below/c.jpg']
    assert names(folder, f'{folder}/[ab].*') == ['a.png', 'b.JPG']


def test_a_file_whose_name_looks_like_a_pattern(folder):
    (folder / 'photo[1].jpg').write_bytes(b'-')
    assert names(folder, f'{folder}/photo[1].jpg') == ['photo[1].jpg']


def test_a_file_that_is_not_there_is_named_all_the_same(folder):
    assert names(folder, f'{folder}/none.jpg') == ['none.jpg']


def test_what_has_no_path():
    array, picture = np.zeros((2, 2, 3), np.uint8), Image.new('RGB', (2, 2))
    photos = list_photos([array, picture, b'-', 'https://a.example/b.jpg'])
    assert [one.source for one in photos[1:3]] == [picture, b'-']
    assert photos[0].source is array
    assert [one.path for one in photos] == [None, None, None, 'https://a.example/b.jpg']
    assert [one.name for one in photos[:3]] == ['photo 0', 'photo 1', 'photo 2']
    assert list_photos(array)[0].source is array
    photo = Photo(b'-', 'it', None)
    assert list_photos(photo) == list_photos([photo]) == list_photos(iter([photo])) == [photo]


@pytest.mark.parametrize(
    ('inputs', 'words'),
    [
        ('{}/empty', r'folder .*empty has no photos .*, but 1 other file: '),
        ('{}/looks_like.jpg', r'folder .* has no photos \(\.jpg, \.png, \.\.\.\): '),
        ('{}/*.gif', r'pattern .*\*\.gif has no photos'),
        ('{}/*.txt', r'pattern .* has no photos .*, but 1 other file: '),
        ([], 'no photo is given'),
        (3, 'a int is no photo'),
        ([None], 'a NoneType is no photo'),
        ('s3://a/b.jpg', 'neither a path nor an http'),
        ('file:///etc/passwd', 'neither a path nor an http'),
    ],
)
def test_no_photo(folder, inputs, words):
    inputs = inputs.format(folder) if isinstance(inputs, str) else inputs
    with pytest.raises(UsageError, match=words):
        list_photos(inputs)


def test_pillow_knows_what_counts_as_a_photo():
    known = Image.registered_extensions()
    assert [one for one in PHOTO_SUFFIXES if one not in known and 'avif' not in one] == []
