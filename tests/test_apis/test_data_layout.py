# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import re

import pytest
from mmengine.config import Config
from tiny_run import TRAIN, VAL

from cnnrnn_mm.apis import check_data_layout
from cnnrnn_mm.errors import UsageError


def check(dataset):
    check_data_layout(Config(dict(train_dataloader=dict(dataset=dataset))), ('train_dataloader',))


@pytest.fixture
def root(voc_folder, tmp_path):
    return voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})


def test_whole_folder_passes(root):
    check(dict(type='VOC', data_root=str(root), split='train'))
    check(dict(type='mmpretrain.VOC', data_root=str(root), split='val'))
    check(dict(type='cnnrnn_mm.VOCMultiLabel', data_root=str(root), split='val'))
    check(None)


def test_missing_folder_names_the_layout(tmp_path):
    with pytest.raises(UsageError, match=r'nowhere does not exist; expected JPEGImages/\*\.jpg'):
        check(dict(type='VOC', data_root=str(tmp_path / 'nowhere'), split='train'))


def test_missing_split_file(root):
    with pytest.raises(UsageError, match=r'Main/test\.txt does not exist'):
        check(dict(type='VOC', data_root=str(root), split='test'))


def test_empty_split_file(root):
    (root / 'ImageSets' / 'Main' / 'train.txt').write_text('\n')
    with pytest.raises(UsageError, match=r'train\.txt lists no image: an empty split'):
        check(dict(type='VOC', data_root=str(root), split='train'))


def test_missing_annotations(root):
    (root / 'Annotations').rename(root / 'Elsewhere')
    for kind in ('VOC', 'VOCMultiLabel'):
        with pytest.raises(UsageError, match='Annotations does not exist'):
            check(dict(type=kind, data_root=str(root), split='train'))


def test_json_set_without_its_file(root):
    dataset = dict(type='MultiLabelDataset', data_root=str(root), ann_file='none.json')
    with pytest.raises(UsageError, match=r'none\.json does not exist; expected an annotation file'):
        check(dataset)


def test_wrapped_datasets_are_seen(tmp_path):
    inner = dict(type='VOC', data_root=str(tmp_path / 'nowhere'), split='train')
    for wrapper in (
        dict(type='RepeatDataset', times=2, dataset=inner),
        dict(type='ConcatDataset', datasets=[inner]),
        dict(type='cnnrnn_mm.ReadableImages', dataset=inner),
    ):
        with pytest.raises(UsageError, match='nowhere does not exist'):
            check(wrapper)


ENTRIES = [{'img_path': 'a.jpg', 'gt_label': [1, 0]}, {'img_path': 'b.jpg', 'gt_label': []}]
CONTENT = {'metainfo': {'classes': ['cat', 'dog']}, 'data_list': ENTRIES}


def labels(root, **changes):
    """The config of a MultiLabelDataset upon the VOC folder's photos."""
    if not (root / 'a.json').exists():
        (root / 'a.json').write_text(json.dumps(CONTENT))
    parts = dict(type='MultiLabelDataset', data_root=str(root), ann_file='a.json')
    return parts | dict(data_prefix='JPEGImages') | changes


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"data_list": []}', r'a\.json lists no image: an empty split'),
        ('{"images": []}', r'a\.json has no data_list; expected an annotation file'),
        ('{"data_list": [', r'a\.json is no JSON'),
        ('  \n', r'a\.json lists no image'),
    ],
)
def test_json_set_without_entries(root, content, message):
    (root / 'a.json').write_text(content)
    with pytest.raises(UsageError, match=message):
        check(labels(root))


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'img_path': 'a.jpg', 'gt_label': []}, r'a\.jpg is listed twice, as entry 0 and entry 2'),
        ({'img_path': '../a.jpg', 'gt_label': []}, r'\(entry 2\) leaves the image folder'),
        ({'img_path': 'c.jpg', 'gt_label': [2]}, r'c\.jpg \(entry 2\): label 2 is outside 0\.\.1'),
        ({'img_path': 'c.jpg', 'gt_label': [1, 1]}, r'entry 2 of data_list has gt_label=\[1, 1\]'),
        ({'img_path': 'c.jpg'}, r'entry 2 of data_list has no gt_label'),
        ({'gt_label': []}, r'entry 2 of data_list has no img_path'),
    ],
)
def test_json_set_with_a_wrong_entry(root, entry, message):
    check(labels(root))
    (root / 'a.json').write_text(json.dumps(CONTENT | {'data_list': [*ENTRIES, entry]}))
    with pytest.raises(UsageError, match=r'^train_dataloader: .*a\.json.*' + message):
        check(labels(root))


def test_class_list_of_the_config_counts(root):
    """As in the host: metainfo goes before classes, and both before the file."""
    check(labels(root, metainfo=dict(classes=['x', 'y', 'z'])))
    for changes in (
        dict(metainfo=dict(classes=['x'])),
        dict(classes=['x']),
        dict(classes=['x', 'y'], metainfo=dict(classes=['x'])),
    ):
        with pytest.raises(UsageError, match=r'label 1 is outside 0\.\.0'):
            check(labels(root, **changes))


def test_paths_leave_only_a_folder_that_is_named(root):
    content = CONTENT | {'data_list': [{'img_path': str(root / 'a.jpg'), 'gt_label': []}]}
    (root / 'a.json').write_text(json.dumps(content))
    check(dict(type='MultiLabelDataset', ann_file=str(root / 'a.json')))
    for changes in (
        dict(data_root='', ann_file=str(root / 'a.json'), data_prefix=str(root)),
        dict(data_prefix=''),
        dict(data_root='', ann_file=str(root / 'a.json'), data_prefix=dict(img_path=str(root))),
    ):
        with pytest.raises(UsageError, match='leaves the image folder'):
            check(labels(root, **changes))


def test_large_json_files_are_left_to_the_dataset(root, monkeypatch):
    (root / 'a.json').write_text('{"data_list": [')
    monkeypatch.setattr('cnnrnn_mm.apis.data_layout.JSON_LIMIT', 3)
    check(labels(root))


def test_remote_files_are_passed_over():
    check(dict(type='MultiLabelDataset', data_root='s3://bucket', ann_file='a.json'))
    check(dict(type='MultiLabelDataset', ann_file='s3://bucket/a.json'))


def test_a_split_is_read_once(root, monkeypatch):
    read = []
    monkeypatch.setattr(
        'cnnrnn_mm.apis.data_layout.read_json', lambda path, *_, **__: read.append(path)
    )
    val = dict(dataset=labels(root, pipeline=[dict(type='PackInputs')]))
    test = dict(dataset=labels(root, test_mode=True))
    other = dict(dataset=labels(root, metainfo=dict(classes=['x', 'y'])))
    cfg = Config(dict(val_dataloader=val, test_dataloader=test, train_dataloader=other))
    check_data_layout(cfg, ('val_dataloader', 'test_dataloader'))
    assert len(read) == 1
    check_data_layout(cfg, ('train_dataloader', 'test_dataloader'))
    assert len(read) == 3


@pytest.mark.parametrize('scope', ['', 'cnnrnn_mm.'])
@pytest.mark.parametrize(
    ('kind', 'layout'),
    [
        ('CocoMultiLabel', r'annotations/instances_train2014\.json and the folder train2014'),
        ('CsvMultiLabel', r'a CSV file with the columns path and labels'),
        ('MultiLabelDataset', r'an annotation file \{"metainfo"'),
    ],
)
def test_parts_of_a_dataset_are_there(root, kind, layout, scope):
    def message(**changes):
        with pytest.raises(UsageError) as caught:
            check(labels(root, type=scope + kind, **changes))
        assert re.search(f'; expected {layout}', str(caught.value))
        return str(caught.value).partition('; expected')[0]

    elsewhere = root / 'elsewhere'
    assert message(ann_file='') == f'train_dataloader: {kind} has no ann_file'
    assert message(ann_file='b.json').endswith('b.json does not exist')
    assert message(data_root=str(elsewhere)).endswith(f'folder {elsewhere} does not exist')
    assert message(data_prefix='elsewhere').endswith(f'folder {elsewhere} does not exist')


def test_files_of_our_datasets_are_left_to_them(root):
    """They are no MultiLabelDataset JSON, and are read once, by the dataset."""
    (root / 'a.json').write_text('{"images": []}')
    check(labels(root, type='CocoMultiLabel'))
    (root / 'a.csv').write_text('path,labels\n')
    check(labels(root, type='CsvMultiLabel', ann_file='a.csv'))
    with pytest.raises(UsageError, match=r'first\.csv does not exist'):
        check(labels(root, type='CsvMultiLabel', ann_file='a.csv', classes_from='first.csv'))


def test_other_types_need_what_they_name(root):
    check(dict(type='FeatureDataset', data_root=str(root), ann_file='ImageSets/Main/train.txt'))
    with pytest.raises(UsageError, match=r'train\.pt does not exist'):
        check(dict(type='FeatureDataset', data_root=str(root), ann_file='train.pt'))
    check(dict(type='CIFAR10'))


def test_nus_wide(root):
    with pytest.raises(UsageError, match='nowhere does not exist; expected Groundtruth, ImageList'):
        check(dict(type='NUSWide', data_root=str(root / 'nowhere')))
    with pytest.raises(UsageError, match='Flickr does not exist'):
        check(dict(type='NUSWide', data_root=str(root)))
    check(dict(type='cnnrnn_mm.NUSWide', data_root=str(root), data_prefix='JPEGImages'))
