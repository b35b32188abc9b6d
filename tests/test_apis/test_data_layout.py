# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
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
    with pytest.raises(UsageError, match='Annotations does not exist'):
        check(dict(type='VOC', data_root=str(root), split='train'))


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


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"data_list": []}', r'a\.json lists no image: an empty split'),
        ('{"images": []}', r'a\.json has no data_list; expected an annotation file'),
        ('{"data_list": [', r'a\.json is no JSON'),
    ],
)
def test_json_set_without_entries(root, content, message):
    (root / 'a.json').write_text(content)
    with pytest.raises(UsageError, match=message):
        check(dict(type='MultiLabelDataset', data_root=str(root), ann_file='a.json'))
