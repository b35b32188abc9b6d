# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import random

import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.apis.dataset_configs import leaves, map_leaves, pipeline_of, split_pipeline
from cnnrnn_mm.apis.split_images import SplitImages
from cnnrnn_mm.errors import UsageError

LOAD, ORDER, PACK = (
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='OrderLabels'),
    dict(type='PackInputs'),
)


def leaf(name):
    return dict(type='VOC', data_root=name, pipeline=[dict(type=name)])


NESTED = dict(
    type='RepeatDataset',
    times=3,
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            leaf('a'),
            dict(type='cnnrnn_mm.ReadableImages', dataset=leaf('b')),
            dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=leaf('c')),
        ],
    ),
)


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def test_leaves_through_wrappers():
    assert [one.get('data_root') for one in leaves(NESTED)] == ['a', None, 'c']
    assert pipeline_of(NESTED) == [dict(type='a')]
    assert pipeline_of(NESTED['dataset']['datasets'][1]) == [dict(type='b')]
    changed = map_leaves(NESTED, lambda one: dict(type='new', old=one['type']))
    inside = changed['dataset']['datasets']
    assert changed['times'] == 3 and inside[2]['oversample_thr'] == 0.1
    assert [inside[0]['old'], inside[1]['old'], inside[2]['dataset']['old']] == [
        'VOC', 'cnnrnn_mm.ReadableImages', 'VOC',
    ]  # fmt: skip
    assert [one.get('data_root') for one in leaves(NESTED)] == ['a', None, 'c']  # unchanged


def test_transforms_of_pixels_and_of_labels():
    flip = dict(type='RandomApply', transforms=[dict(type='RandomFlip', prob=1.0)], prob=0.5)
    choice = dict(type='RandomChoice', transforms=[[ORDER], [dict(ORDER, order='rare_first')]])
    augment = dict(type='RandAugment', policies=[dict(type='Rotate')], num_policies=1)
    tensor = dict(type='torchvision/Resize', size=3)
    pixels, labels = split_pipeline([LOAD, ORDER, flip, augment, tensor, choice, PACK], 'a')
    assert pixels == [LOAD, flip, augment, tensor] and labels == [ORDER, choice, PACK]
    mixed = dict(type='RandomChoice', transforms=[[dict(type='Resize', scale=3)], [ORDER]])
    with pytest.raises(UsageError, match='RandomChoice of a holds transforms of images and of lab'):
        split_pipeline([mixed], 'a')


def test_transforms_of_others():
    @TRANSFORMS.register_module(name='Unknown', force=True)
    class Unknown:
        pass

    for kind in ('Unknown', Unknown):
        with pytest.raises(UsageError, match='Unknown.* of a could change labels, too, .*True in'):
            split_pipeline([dict(type=kind)], 'a')
    Unknown.changes_only_pixels = True
    assert split_pipeline([dict(type='Unknown')], 'a') == ([dict(type='Unknown')], [])


def test_images_of_a_split_leave_the_random_states_alone(voc_folder, tmp_path):
    """Each view starts from its own state, and the same one each time."""
    flips = """
train_pipeline.insert(1, dict(type='RandomCrop', crop_size=24))
train_dataloader['dataset']['pipeline'] = train_pipeline
"""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    images = SplitImages(load_config(root, tmp_path, flips), 'train', copies=3)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first = [one.inputs for one in images[5]]
    assert all(one.boxes is None for one in images[5])
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[2])
    assert np.array_equal(np.random.get_state()[1], before[1])
    np.random.seed(9)
    images[2]
    assert [one.shape[-1] for one in first] == [32, 24, 24, 24]
    assert all(
        torch.equal(*pair) for pair in zip((one.inputs for one in images[5]), first, strict=True)
    )
    assert not torch.equal(first[1], first[2]) and not torch.equal(first[2], first[3])
    assert len(images) == len(TRAIN) and images.classes[3] == 'person'
    assert images.annotations[1]['gt_label'] == [1, 3]
    assert images.annotations[1]['gt_label_difficult'] == []
