# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The boxes that the datasets give: which objects, where, and what is done about bad ones."""

import json

import numpy as np
import pytest
from coco_files import annotation as coco_object
from coco_files import instances, photo, write
from mmengine.logging import MMLogger
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.datasets.boxes import ObjectBoxes
from cnnrnn_mm.datasets.label_table import LabelTable
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

CLASSES = ['cat', 'dog', 'person']
#: The files' images are 200 x 100.
SPLIT = {
    'a': annotation(thing('person', 0, (1, 1, 200, 100)), thing('cat', 0, (11, 21, 11, 21)),
                    thing('dog', 1, (5.5, 6, 50, 60.25)), thing('lamp')),
    'b': annotation(thing('dog', 1)),
    'c': annotation(thing('person', 0, (-9, 1, 240, 40)), thing('person', 0, None)),
}  # fmt: skip
PERSON, CAT, DOG = [0, 0, 200, 100], [10, 20, 11, 21], [4.5, 5, 50, 60.25]


@pytest.fixture
def warnings(monkeypatch):
    """What is logged as a warning."""
    said = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'warning', lambda text: said.append(text))
    return said


@pytest.fixture
def voc(tmp_path):
    def build(split=SPLIT, **options):
        root = write_voc(tmp_path / 'VOC2012', split)
        options = dict(split='train', metainfo=dict(classes=CLASSES), boxes=True) | options
        return DATASETS.build(dict(type='cnnrnn_mm.VOCMultiLabel', data_root=str(root), **options))

    return build


@pytest.fixture
def coco(tmp_path):
    def build(content, **options):
        path = write(tmp_path / 'instances.json', content)
        options = dict(boxes=True) | options
        return DATASETS.build(dict(type='cnnrnn_mm.CocoMultiLabel', ann_file=str(path), **options))

    return build


def boxes_of(dataset):
    infos = [dataset.get_data_info(row) for row in range(len(dataset))]
    for info in infos:
        assert info['gt_bboxes'].dtype == np.float32 and info['gt_bboxes'].shape[1:] == (4,)
        assert info['gt_bboxes_labels'].dtype == np.int64
    return [(one['gt_bboxes'].tolist(), one['gt_bboxes_labels'].tolist()) for one in infos]


@pytest.mark.parametrize('policy', ['negative', 'ignore', 'positive'])
@pytest.mark.parametrize('test_mode', [False, True])
def test_voc(policy, test_mode, voc, warnings):
    """Difficult objects are among them only where they are labels."""
    found = boxes_of(voc(difficult=policy, test_mode=test_mode, unknown='ignore'))
    hard = policy == 'positive' and not test_mode
    assert found == [
        ([PERSON, CAT, DOG], [2, 0, 1]) if hard else ([PERSON, CAT], [2, 0]),
        ([[0, 0, 100, 50]], [1]) if hard else ([], []),
        ([[0, 0, 200, 40]], [2]),
    ]
    clipped, lacking = warnings[-2:]  # the host has something to say of the split
    assert 'train.txt: 1 boxes leave their image and are clipped to it: first in' in clipped
    assert '1 objects have no box, or one without area' in lacking
    assert clipped.endswith('c.xml') and lacking.endswith('c.xml')


def test_voc_without_a_size_and_with_a_box_without_area(voc):
    split = {'a': annotation(thing('cat', 0, (0, 5, 900, 80)), size='')}
    assert boxes_of(voc(split)) == [([[0, 4, 900, 80]], [0])]
    bad = {'a': annotation(thing('dog'), thing('cat', 0, (50, 5, 40, 80)))}
    with pytest.raises(
        UsageError, match=r'a\.xml: object 1 \(cat\) has the box 50, 5, 40, 80, whi'
    ):
        voc(bad)


def test_coco(coco, warnings):
    objects = [
        coco_object(1, 9, 18, box=(600, 470, 100, 100)),  # 40 x 10 of it are inside
        coco_object(2, 9, 1, box=(10.5, 20, 64, 48.25)),
        coco_object(3, 9, 1, crowd=1),
        coco_object(4, 25, 1, box=(3, 4, 0, 10)),
        coco_object(5, 25, 90, box=(-5, -5, 20, 20), bbox=None),
        coco_object(6, 9, 13),
    ]
    content = instances([photo(9), photo(25), photo(30, width=None, height=None)], objects)
    dataset = coco(content, metainfo=dict(classes=['dog', 'person', 'toothbrush']))
    first = ([[600, 470, 640, 480], [10.5, 20, 74.5, 68.25]], [0, 1])
    assert boxes_of(dataset) == [first, ([], []), ([], [])]
    assert dataset.get_data_info(1)['gt_label'] == [1, 2]
    clipped, lacking = warnings
    assert '1 boxes leave' in clipped and '2 objects have no box' in lacking
    assert clipped.endswith('000000000009.jpg') and lacking.endswith('000000000025.jpg')
    content['annotations'][3]['bbox'] = [3, 4, -1, 10]
    with pytest.raises(UsageError, match=r'entry 3 of annotations has bbox \[3, 4, -1, 10\]'):
        coco(content)


def test_selections_keep_boxes_beside_their_images(coco):
    objects = [coco_object(key, key, 1, box=(key, 1, 5, 5)) for key in (9, 34)]
    content = instances([photo(9), photo(25), photo(34)], objects)
    assert [one[0][0][0] for one in boxes_of(coco(content, empty='drop'))] == [9, 34]
    assert boxes_of(coco(content, indices=[2])) == [([[34, 1, 39, 6]], [0])]


def test_without_asking_there_are_none(voc, coco):
    for dataset in (voc(boxes=False), coco(instances([photo(9)], []), boxes=False)):
        assert not {'gt_bboxes', 'gt_bboxes_labels'} & dataset.get_data_info(0).keys()


def table(edges, ids, labels=((0, 1),)):
    boxes = ObjectBoxes(np.array(edges, np.float32).reshape(-1, 4), np.array(ids, np.int64))
    return LabelTable('here', ('x', 'y', 'z'), ['a.jpg'], list(labels), boxes=[boxes])


def test_tables_check_and_save_boxes(tmp_path):
    good = table([[1.5, 2, 3, 4]], [1])
    good.save(tmp_path / 'all.json')
    (one,) = json.loads((tmp_path / 'all.json').read_text())['data_list']
    assert one['gt_bboxes'] == [[1.5, 2, 3, 4]] and one['gt_bboxes_labels'] == [1]
    for edges, ids, message in (
        (
            [[1, 2, 3, 4]],
            [2],
            r'here: image a\.jpg \(entry 0\): a box for label 2, which it has not',
        ),
        ([[1, 2, 3, 4]], [1, 1], r'boxes of shape \(1, 4\) for 2 objects'),
        ([[1, 2, 1, 4]], [1], r'box \[1\.0, 2\.0, 1\.0, 4\.0\] has no area or starts outside'),
        ([[-1, 2, 1, 4]], [1], 'starts outside'),
        ([[0, 2, np.nan, 4]], [1], 'has no area'),
    ):
        with pytest.raises(UsageError, match=message):
            table(edges, ids)
    with pytest.raises(UsageError, match='0 entries of boxes for 1 images'):
        LabelTable('here', ('x',), ['a.jpg'], [(0,)], boxes=[])
