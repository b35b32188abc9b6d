# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json

import numpy as np
import pytest
from coco_files import SPLIT, write
from mmcv.transforms import Compose
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.datasets import VOCMultiLabel
from cnnrnn_mm.datasets.transforms.box_checks import check_boxes_move
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

CROP, FLIP = dict(type='RandomCrop', crop_size=3), dict(type='RandomFlip', prob=0.5)
INSIDE = dict(type='cnnrnn_mm.WithBoxes', transforms=[CROP, FLIP])
ROTATE = dict(type='Rotate', angle=3.0)
JITTER, PACK = dict(type='ColorJitter', brightness=0.5), dict(type='PackInputs')
MIXED = dict(type='RandomApply', prob=0.5, transforms=[JITTER, INSIDE])


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


@pytest.fixture
def propose(tmp_path):
    (tmp_path / 'file.json').write_text(json.dumps({'a.jpg': [[0, 0, 1, 1]]}))
    return dict(type='cnnrnn_mm.LoadProposals', file=str(tmp_path / 'file.json'))


def check(*configs, objects=True):
    check_boxes_move(Compose(configs).transforms, objects, 'a')


def test_pipelines_that_move_all_boxes(propose):
    check(CROP, FLIP, objects=False)
    check(FLIP, INSIDE, MIXED, dict(type='Resize', scale=3), PACK)
    check(propose, INSIDE, MIXED, PACK)
    check(propose, INSIDE, objects=False)


@pytest.mark.parametrize(
    'config',
    [
        CROP,
        dict(MIXED, transforms=[INSIDE, JITTER, CROP]),
        dict(type='RandomChoice', transforms=[[FLIP], [CROP]]),
        dict(type='CenterCrop', crop_size=3),
        dict(type='RandAugment', policies=[ROTATE], num_policies=1, magnitude_level=1),
        dict(type='torchvision/RandomCrop', size=3),
    ],
)
def test_pipelines_that_leave_objects_behind(config):
    with pytest.raises(
        UsageError, match='in the pipeline of a may move pixels, and leaves gt_bbox'
    ):
        check(config)


def test_pipelines_that_leave_proposals_behind(propose):
    with pytest.raises(UsageError, match='RandomFlip in .* leaves proposals where they are'):
        check(propose, FLIP, objects=False)
    with pytest.raises(UsageError, match='RandomFlip in .* leaves gt_bboxes and proposals where'):
        check(propose, FLIP)


def test_transforms_of_others():
    class Other:
        def __call__(self, results):
            return results

    with pytest.raises(UsageError, match='Other in the pipeline'):
        check_boxes_move([Other()], True, 'a')
    Other.keeps_boxes = True
    check_boxes_move([Other()], True, 'a')


def test_datasets_look_at_their_pipelines(tmp_path):
    root = write_voc(tmp_path / 'VOC2012', {'a': annotation(thing('cat'))})
    voc = dict(data_root=str(root), split='train', pipeline=[CROP])
    VOCMultiLabel(**voc)
    with pytest.raises(
        UsageError, match=r'RandomCrop in the pipeline of VOCMultiLabel\(.*train.txt'
    ):
        VOCMultiLabel(**voc, boxes=True)
    coco = dict(ann_file=str(write(tmp_path / 'all.json', SPLIT)), pipeline=[CROP])
    coco['type'] = 'cnnrnn_mm.CocoMultiLabel'
    DATASETS.build(coco)
    with pytest.raises(UsageError, match='RandomCrop in the pipeline of CocoMultiLabel'):
        DATASETS.build(dict(coco, boxes=True))
    coco['pipeline'] = [INSIDE]
    info = DATASETS.build(dict(coco, boxes=True)).get_data_info(0)
    moved = INSIDE | dict(transforms=FLIP | dict(prob=1.0))
    moved = Compose([moved])({**info, 'img': np.zeros((480, 640, 3), np.uint8)})
    assert moved['gt_bboxes'][0].tolist() == [566, 20, 630, 68]
