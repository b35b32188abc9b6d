# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Images with the labels in the order that a run would learn."""

import mmcv
import numpy as np
import pytest
from tiny_run import CLASSES, TRAIN, VAL, load_config

from cnnrnn_mm.apis.browsing import browse_split
from cnnrnn_mm.errors import UsageError

#: tiny_run.TRAIN has person 10, cat 6, dog 4, bus 1.
RANKS = {'person': 0, 'cat': 1, 'dog': 2, 'bus': 3}


@pytest.fixture(scope='module')
def root(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('browsing') / 'voc', {'train': TRAIN, 'val': VAL})


def browse(root, folder, phase, extra=''):
    images, number, classes = browse_split(load_config(root, folder, extra), phase)
    images = list(images)
    assert len(images) == number and tuple(classes) == CLASSES
    return images


@pytest.mark.parametrize(('phase', 'split'), [('train', TRAIN), ('val', VAL), ('test', VAL)])
def test_labels_are_in_the_order_of_the_training_split(root, tmp_path, phase, split):
    for image, names in zip(browse(root, tmp_path, phase), split, strict=True):
        assert [CLASSES[label] for label in image.labels] == sorted(names, key=RANKS.get)
        assert image.order == 'frequent_first'


def test_another_order_is_followed(root, tmp_path):
    extra = "\ntrain_pipeline[1]['order'] = 'rare_first'\n"
    for image, names in zip(browse(root, tmp_path, 'val', extra), VAL, strict=True):
        expected = sorted(names, key=RANKS.get, reverse=True)
        assert [CLASSES[label] for label in image.labels] == expected
        assert image.order == 'rare_first'


def test_a_config_without_an_order_keeps_the_datasets(root, tmp_path):
    extra = '\ndel train_pipeline[1]\n'
    for phase, split in (('train', TRAIN), ('val', VAL)):
        for image, names in zip(browse(root, tmp_path, phase, extra), split, strict=True):
            assert {CLASSES[label] for label in image.labels} == set(names)
            assert image.order is None


def test_random_order_holds_the_same_labels(root, tmp_path):
    extra = "\ntrain_pipeline[1]['order'] = 'random'\n"
    for image, names in zip(browse(root, tmp_path, 'train', extra), TRAIN, strict=True):
        assert sorted(CLASSES[label] for label in image.labels) == sorted(names)
        assert image.order == 'random'


def test_stages_are_what_the_transforms_give(root, tmp_path):
    extra = """
train_pipeline.insert(1, dict(type='RandomFlip', prob=0.0))
train_pipeline.insert(1, dict(type='RandomFlip', prob=1.0))
train_pipeline.insert(1, dict(type='Resize', scale=(16, 8)))
"""
    for number, image in enumerate(browse(root, tmp_path, 'train', extra)):
        loaded = mmcv.imread(str(root / 'JPEGImages' / f'train_{number:04d}.jpg'))
        small = mmcv.imresize(loaded, (16, 8))
        assert [name for name, _ in image.stages] == ['LoadImage', 'Resize', 'RandomFlip']
        for (_, found), expected in zip(image.stages, (loaded, small, small[:, ::-1]), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert image.unchanged == ['RandomFlip', 'OrderLabels']
        assert image.path.endswith(f'train_{number:04d}.jpg')


def test_wrapped_datasets_are_looked_through(root, tmp_path):
    extra = """
inner = train_dataloader['dataset']
train_dataloader['dataset'] = dict(
    type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=inner), inner]
)
"""
    images = browse(root, tmp_path, 'train', extra)
    assert len(images) == 3 * len(TRAIN)
    for image, names in zip(images, 3 * TRAIN, strict=True):
        assert [CLASSES[label] for label in image.labels] == sorted(names, key=RANKS.get)
        assert len(image.stages) == 1


def test_difficult_objects_are_told(root, tmp_path):
    path = root / 'Annotations' / 'val_0003.xml'
    before = path.read_text()
    try:
        path.write_text(before.replace('<difficult>0', '<difficult>1', 1))  # the bus
        image = browse(root, tmp_path, 'val')[3]
    finally:
        path.write_text(before)
    assert [CLASSES[label] for label in image.labels] == ['person']
    assert [CLASSES[label] for label in image.difficult] == ['bus']


def test_mistakes_are_one_line(root, tmp_path):
    cfg = load_config(root, tmp_path)
    cfg.test_dataloader = None
    with pytest.raises(UsageError, match="no split 'test' .*: it has train, val"):
        browse_split(cfg, 'test')
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(UsageError, match='nowhere does not exist'):
        browse_split(cfg, 'train')
    without_pixels = '\ntrain_pipeline[:] = train_pipeline[1:2]\n'
    images, _, _ = browse_split(load_config(root, tmp_path, without_pixels), 'train')
    with pytest.raises(UsageError, match='image 0 .* has no pixels in the pipeline'):
        next(images)
