# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import mmcv
import numpy as np
import pytest
from coco_files import annotation, instances, photo, write
from mmengine.dataset import ClassBalancedDataset

from cnnrnn_mm.datasets import CocoMultiLabel
from cnnrnn_mm.datasets.annotations import read_labels
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

SPLIT = instances(
    [photo(9), photo(25), photo(30)],
    [annotation(1, 9, 18), annotation(2, 9, 1), annotation(3, 25, 1, crowd=1)],
)


@pytest.fixture
def root(tmp_path):
    write(tmp_path / 'annotations' / 'instances_train2014.json', SPLIT)
    for entry in SPLIT['images']:
        path = str(tmp_path / 'train2014' / entry['file_name'])
        mmcv.imwrite(np.full((8, 8, 3), entry['id'], np.uint8), path)
    return tmp_path


def build(root, **options):
    return DATASETS.build(
        dict(
            type='CocoMultiLabel',
            data_root=str(root),
            ann_file='annotations/instances_train2014.json',
            data_prefix='train2014',
            **options,
        )
    )


def test_dataset_serves_labels_areas_and_photos(root):
    dataset = build(root, pipeline=[dict(type='cnnrnn_mm.LoadImage')])
    assert type(dataset) is CocoMultiLabel and len(dataset) == 3
    assert dataset.metainfo['classes'] == ('person', 'stop sign', 'dog', 'toothbrush')
    first = dataset.get_data_info(0)
    assert first['gt_label'] == [0, 2] and set(first['gt_area']) == {0, 2}
    assert 'gt_label_difficult' not in first
    labels, paths = read_labels(dataset)
    assert [one.tolist() for one in labels] == [[0, 2], [0], []]
    assert paths[1] == str(root / 'train2014' / 'COCO_train2014_000000000025.jpg')
    assert [int(dataset[row]['img'][0, 0, 0]) for row in range(3)] == [9, 25, 30]


def test_choices_reach_the_reader(root):
    assert len(build(root, empty='drop')) == 2
    assert len(build(root, empty='drop', crowd='drop')) == 1
    chosen = build(root, metainfo=dict(classes=['dog', 'person']))
    assert chosen.metainfo['classes'] == ('dog', 'person')
    assert chosen.get_data_info(0)['gt_label'] == [0, 1]
    (root / 'classes.txt').write_text('dog\n')
    for option in (dict(classes=str(root / 'classes.txt')), dict(classes=['dog'])):
        assert build(root, **option).get_data_info(0)['gt_label'] == [0]


def test_options_of_the_host_work(root):
    assert len(build(root, indices=2)) == 2
    lazy = build(root, lazy_init=True, empty='drop')
    assert lazy.metainfo.get('classes') is None
    lazy.full_init()
    assert len(lazy) == 2 and len(lazy.metainfo['classes']) == 4
    assert build(root).get_cat_ids(0) == [0, 2]
    # A dog is in one photo of two: at threshold 1 it is repeated ceil(sqrt(1 / 0.5)) = 2 times.
    assert len(ClassBalancedDataset(build(root, empty='drop'), oversample_thr=1.0)) == 3


def test_missing_class_file_is_named(root):
    with pytest.raises(UsageError, match=r'none\.txt cannot be read'):
        build(root, metainfo=dict(classes='none.txt'))
