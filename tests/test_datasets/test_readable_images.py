# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import logging

import pytest
from mmengine.logging import MMLogger
from mmpretrain.datasets import VOC

from cnnrnn_mm.datasets import ReadableImages
from cnnrnn_mm.datasets.readable_images import why_unreadable
from cnnrnn_mm.errors import UsageError

CLASSES = ['bird', 'cat', 'dog']
TRAIN = [['dog'], ['cat'], [], ['bird'], ['cat', 'dog'], ['bird', 'cat']]


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGE = {
    'cut in the header': lambda path: path.write_bytes(path.read_bytes()[:40]),
    'zero bytes': lambda path: path.write_bytes(b''),
    'text': lambda path: path.write_text('<html>404 not found</html>'),
    'missing': lambda path: path.unlink(),
    'zeros': lambda path: path.write_bytes(bytes(2000)),
    'folder': lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture
def root(voc_folder, tmp_path):
    return voc_folder(tmp_path / 'voc', {'train': TRAIN})


@pytest.fixture
def warnings():
    """What the run's logger said."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def picture(root, index):
    return root / 'JPEGImages' / f'train_{index:04d}.jpg'


def build(root, unreadable='skip', **options):
    dataset = dict(
        type='VOC', data_root=str(root), split='train', metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadImageFromFile')], _scope_='mmpretrain', **options,
    )  # fmt: skip
    return ReadableImages(dataset, unreadable)


def names(dataset):
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [info['img_path'][-14:-4] for info in infos]


def test_nothing_to_do(root, warnings):
    dataset = build(root, 'error')
    assert type(dataset) is VOC and len(dataset) == 6 and warnings == []
    assert dataset[0]['img'].shape == (32, 32, 3)


@pytest.mark.parametrize('kind', DAMAGE)
def test_unreadable_images_are_found(kind, root, warnings):
    for index in (1, 4):
        DAMAGE[kind](picture(root, index))
    dataset = build(root)
    assert type(dataset) is VOC
    assert names(dataset) == [f'train_{index:04d}' for index in (0, 2, 3, 5)]
    labels = [dataset.get_data_info(index)['gt_label'] for index in range(4)]
    assert [set(one) for one in labels] == [{2}, set(), {0}, {0, 1}]  # still beside their images
    assert all(dataset[index]['img'] is not None for index in range(4))
    (message,) = warnings
    assert 'Skipped 2 of 6' in message
    assert 'train_0001.jpg' in message and 'train_0004.jpg' in message
    assert 'train_0000.jpg' not in message
    with pytest.raises(UsageError, match=r'train_0001\.jpg .*one of 2'):
        build(root, 'error')


def test_picture_cut_in_the_middle_never_stops_a_run(root):
    """Decoders may fill up a cut picture; whatever they do, what is kept can be loaded."""
    truncate(picture(root, 2))
    dataset = build(root)
    assert {'train_0000', 'train_0005'} <= set(names(dataset))
    for index in range(len(dataset)):
        assert dataset[index]['img'].shape == (32, 32, 3)


def test_none_readable(root):
    for index in range(6):
        picture(root, index).unlink()
    with pytest.raises(UsageError, match=r'none of 6 .*train_0000\.jpg .*data_root'):
        build(root)


def test_images_listed_twice_are_counted_twice(root, warnings):
    """The split may name an image more than once; numbers are those of the dataset."""
    ids = ['train_0000', 'train_0001', 'train_0001', 'train_0002']
    (root / 'ImageSets' / 'Main' / 'train.txt').write_text('\n'.join(ids))
    picture(root, 1).unlink()
    assert names(build(root)) == ['train_0000', 'train_0002']
    assert 'Skipped 2 of 4' in warnings[0]
    (root / 'ImageSets' / 'Main' / 'train.txt').write_text('train_0001\ntrain_0001\n')
    with pytest.raises(UsageError, match='none of 2'):
        build(root)


def test_long_lists_are_cut(voc_folder, tmp_path, warnings):
    root = voc_folder(tmp_path / 'many', {'train': [['cat']] * 31})
    for index in range(30):
        picture(root, index).unlink()
    assert names(build(root)) == ['train_0030']
    assert 'Skipped 30 of 31' in warnings[0] and warnings[0].count('.jpg') == 20


def test_reasons(root):
    assert why_unreadable(str(picture(root, 0))) is None
    picture(root, 0).unlink()
    assert why_unreadable(str(picture(root, 0))) == 'No such file or directory'
    picture(root, 1).write_text('text')
    assert why_unreadable(str(picture(root, 1))) == 'not a picture'


def test_unknown_mode(root):
    with pytest.raises(UsageError, match="'ignore'"):
        build(root, 'ignore')


def test_lazy_dataset_is_loaded_first(root):
    picture(root, 3).unlink()
    dataset = build(root, lazy_init=True)
    assert names(dataset) == [f'train_{index:04d}' for index in (0, 1, 2, 4, 5)]
