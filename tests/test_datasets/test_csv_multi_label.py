# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest

from cnnrnn_mm.datasets import CsvMultiLabel
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

TRAIN = 'path,labels\na.jpg,dog;person\nb.jpg,\nc.jpg,traffic light\n'
VAL = 'path,labels\nx.jpg,traffic light;dog\n'  # read alone, dog would be 0 of 2 classes


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'train.csv').write_text(TRAIN)
    (tmp_path / 'val.csv').write_text(VAL)
    return tmp_path


def build(root, ann_file, **options):
    return DATASETS.build(
        dict(
            type='CsvMultiLabel',
            data_root=str(root),
            ann_file=ann_file,
            data_prefix='images',
            serialize_data=False,
            **options,
        )
    )


def infos(dataset):
    return [dataset.get_data_info(row) for row in range(len(dataset))]


def test_class_ids_of_the_splits_agree(root):
    train = build(root, 'train.csv')
    assert type(train) is CsvMultiLabel
    val = build(root, 'val.csv', classes_from='train.csv', test_mode=True)
    assert (
        train.metainfo['classes'] == val.metainfo['classes'] == ('dog', 'person', 'traffic light')
    )
    assert [info['gt_label'] for info in infos(train)] == [[0, 1], [], [2]]
    (only,) = infos(val)
    assert only['gt_label'] == [0, 2] and only['img_path'] == str(root / 'images' / 'x.jpg')


def test_absolute_and_home_paths_of_classes_from(root, monkeypatch):
    monkeypatch.setenv('HOME', str(root))
    for place in (str(root / 'train.csv'), '~/train.csv'):
        val = build(root, 'val.csv', classes_from=place)
        assert val.get_data_info(0)['gt_label'] == [0, 2]


def test_test_split_must_be_told_its_classes(root):
    with pytest.raises(
        UsageError, match=r"val\.csv: which classes .* give classes_from='train\.csv"
    ):
        build(root, 'val.csv', test_mode=True)
    names = ['traffic light', 'dog']
    val = build(root, 'val.csv', test_mode=True, metainfo=dict(classes=names))
    assert val.get_data_info(0)['gt_label'] == [0, 1]
    with pytest.raises(UsageError, match='the classes are given twice'):
        build(root, 'val.csv', classes_from='train.csv', metainfo=dict(classes=names))


def test_layout_reaches_the_reader(root):
    (root / 'other.csv').write_text('Tags|File\ncafé+dog|a.jpg\n', encoding='latin-1')
    dataset = build(
        root,
        'other.csv',
        separator='+',
        delimiter='|',
        path_column='File',
        labels_column='Tags',
        encoding='latin-1',
    )
    assert dataset.metainfo['classes'] == ('café', 'dog')
    (root / 'bare.csv').write_text('a.jpg,dog\n')
    assert build(root, 'bare.csv', header=False).get_data_info(0)['gt_label'] == [0]
    (root / 'marks.csv').write_text('path,dog,cat\na.jpg,0,1\n')
    assert build(root, 'marks.csv', one_hot=True).get_data_info(0)['gt_label'] == [1]


def test_wrong_layout_is_refused_before_anything_is_read(root):
    with pytest.raises(UsageError, match='delimiter'):
        build(root, 'train.csv', delimiter='', lazy_init=True)
