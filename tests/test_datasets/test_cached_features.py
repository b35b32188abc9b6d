# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What is read, lazily, and what is refused."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_cache import write_cache

from cnnrnn_mm.datasets import load_features
from cnnrnn_mm.datasets.feature_writer import FeatureWriter
from cnnrnn_mm.errors import UsageError

LABELS = [[2, 0], [], [1]]
CLASSES = ['bird', 'cat', 'dog']


@pytest.fixture
def folder(tmp_path):
    """Three images in two views."""
    write_cache(
        tmp_path / 'deep' / 'train', torch.arange(30.0).view(3, 2, 5), LABELS, CLASSES,
        ('plain', 'mirrored'), config='tiny.py',
    )  # fmt: skip
    return tmp_path / 'deep' / 'train'


def change(folder, name, **changed):
    """Replace keys of a JSON file; None removes one."""
    content = {**json.loads((folder / name).read_text()), **changed}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(content))


def test_what_is_written_is_read(folder):
    cached = load_features(folder)
    assert cached.views.tolist() == torch.arange(30.0).view(3, 2, 5).tolist()
    assert cached.features.tolist() == cached.views[:, 0].tolist()
    assert cached.flipped.tolist() == cached.views[:, 1].tolist()
    assert cached.labels == LABELS and cached.classes == CLASSES
    assert cached.img_paths == ['0.jpg', '1.jpg', '2.jpg']
    assert cached.meta['config'] == 'tiny.py' and cached.meta['shape'] == [3, 2, 5]
    assert sorted(one.name for one in folder.iterdir()) == [
        'annotations.json', 'features.npy', 'meta.json',
    ]  # fmt: skip
    # Plain formats, which other programs read.
    assert np.load(folder / 'features.npy').shape == (3, 2, 5)
    assert json.loads((folder / 'annotations.json').read_text())['metainfo'] == {'classes': CLASSES}


def test_further_annotations_keep_their_types(tmp_path):
    annotation = dict(img_path='a.jpg', gt_label=[1], gt_area={1: 0.25}, gt_label_difficult=[0])
    with FeatureWriter(tmp_path / 'a', {'views': ['plain']}, [annotation], None) as writer:
        writer.write(torch.ones(1, 1, 2))
        cached = writer.finish()
    assert cached.annotations == [annotation] and cached.classes is None
    assert cached.flipped is None


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096


def test_the_file_stays_on_disk(folder):
    """A file far larger than memory (of holes) opens, and reading a row of it costs a row."""
    images, size = 2**15, 2**21
    path = folder / 'features.npy'
    np.lib.format.open_memmap(path, mode='w+', dtype=np.float32, shape=(images, 1, size))
    assert path.stat().st_size > 2**38
    with path.open('r+b') as file:
        file.seek(-4, 2)
        file.write(np.float32(7).tobytes())
    annotations = [{'img_path': str(row), 'gt_label': []} for row in range(images)]
    change(folder, 'annotations.json', data_list=annotations)
    change(folder, 'meta.json', views=['plain'])
    before = resident()
    cached = load_features(folder)
    assert isinstance(cached.views, np.memmap) and not cached.views.flags.writeable
    row = np.array(cached.views[-1, 0])
    assert row.shape == (size,) and row[-1] == 7 and not row[:-1].any()
    assert resident() - before < 128 * 2**20
    # Copies, as the host makes them of a dataset, share the map.
    assert copy.deepcopy(cached) is cached
    again = pickle.loads(pickle.dumps(cached))
    assert isinstance(again.views, np.memmap) and len(pickle.dumps(cached)) < 1000


def test_missing_file_or_other_format(folder, tmp_path):
    with pytest.raises(UsageError, match=r'no features in .*/val: make it with python tools/extra'):
        load_features(tmp_path / 'val')
    (tmp_path / 'a.pt').write_text('')
    with pytest.raises(UsageError, match=r'a\.pt is a file, but features are a folder'):
        load_features(tmp_path / 'a.pt')
    change(folder, 'meta.json', format=99)
    with pytest.raises(UsageError, match=r'meta\.json is not of format 1, which this version'):
        load_features(folder)
    (folder / 'meta.json').write_text('{"format": ')
    with pytest.raises(UsageError, match=r'cannot read .*meta\.json \(no JSON'):
        load_features(folder)
    (folder / 'meta.json').unlink()
    with pytest.raises(UsageError, match=r'cannot read .*meta\.json \(No such file'):
        load_features(folder)


def test_file_of_features_that_is_damaged(folder):
    path = folder / 'features.npy'
    whole = path.read_bytes()
    for content, message in (
        (whole[:-4], 'is damaged'),
        (whole[:30], 'is damaged'),
        (b'no features', 'is damaged'),
        (b'', 'is damaged'),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            load_features(folder)
        assert '\n' not in str(caught.value)
    for values, message in (
        (np.zeros((3, 2, 5)), r'holds float64 of shape \(3, 2, 5\)'),
        (np.zeros((4, 2, 5), np.float32), r'of shape \(4, 2, 5\), not float32 for 3 images in 2'),
        (np.zeros((3, 1, 5), np.float32), r'of shape \(3, 1, 5\), not float32 for 3 images in 2'),
    ):
        np.save(path, values)
        with pytest.raises(UsageError, match=message):
            load_features(folder)
    np.save(path, np.array([print]), allow_pickle=True)  # nothing in it is run
    with pytest.raises(UsageError, match='is damaged'):
        load_features(folder)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ([[2, 0], [], [3]], r'label 3 of image 2\.jpg is outside 0\.\.2 \(3 classes'),
        ([[2, 0], [-1], []], r'label -1 of image 1\.jpg is outside'),
        ([[1, 1], [], []], r'label 1 comes twice in image 0\.jpg'),
        ([[1], ['cat'], []], r'labels of image 1\.jpg are no list of class ids'),
        ([[1], [0.5], []], r'labels of image 1\.jpg are no list of class ids'),
        ([[1], 2, []], r'labels of image 1\.jpg are no list of class ids'),
        ([[1], [[2], [1, 0]], []], 'image number 1 has no img_path with gt_label'),
    ],
)
def test_wrong_labels(folder, labels, message):
    annotations = [{'img_path': f'{row}.jpg', 'gt_label': one} for row, one in enumerate(labels)]
    change(folder, 'annotations.json', data_list=annotations)
    with pytest.raises(UsageError, match=message) as caught:
        load_features(folder)
    assert '\n' not in str(caught.value)


def test_wrong_annotations(folder):
    change(folder, 'annotations.json', data_list=[{'gt_label': []}] * 3)
    with pytest.raises(UsageError, match='image number 0 has no img_path with gt_label'):
        load_features(folder)
    change(folder, 'annotations.json', metainfo=None)
    with pytest.raises(UsageError, match=r"is damaged \(KeyError: 'metainfo'\)"):
        load_features(folder)
    change(folder, 'annotations.json', metainfo={}, data_list=[{'img_path': 'a', 'gt_label': [-1]}])
    np.save(folder / 'features.npy', np.zeros((1, 2, 5), np.float32))
    with pytest.raises(UsageError, match='label -1 of image a is outside'):
        load_features(folder)
