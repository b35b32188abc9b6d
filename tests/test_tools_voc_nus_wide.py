# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Converters of VOC and NUS-WIDE: what is written equals the dataset straight from the files."""

import json

import pytest
from dataset_infos import infos
from mmpretrain.datasets import MultiLabelDataset
from nus_wide_files import write_nus_wide, write_photos
from tiny_run import ROOT
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.apis import voc_download
from cnnrnn_mm.datasets import NUSWide, VOCMultiLabel

TOOLS = ROOT / 'tools' / 'dataset_converters'
SPLIT = {
    '000005': annotation(thing('person'), thing('cat', 0, (1, 1, 100, 100))),
    '000007': annotation(thing('dog', 1)),
    '000009': annotation(thing('dog', 1), thing('dog'), thing('cat', 1), thing('bike')),
}


def written(path, folder):
    return infos(
        MultiLabelDataset(ann_file=str(path), data_prefix=str(folder), metainfo=None, pipeline=[])
    )


@pytest.mark.parametrize('policy', ['ignore', 'negative', 'positive'])
def test_voc(policy, convert, tmp_path):
    root, out = write_voc(tmp_path / 'VOC2007', SPLIT), tmp_path / 'new' / 'train.json'
    status, text = convert('voc.py', root, '--out', out, '--split', 'train', '--difficult', policy)
    assert status == 0 and 'images without labels' in text
    dataset = VOCMultiLabel(str(root), split='train', difficult=policy)
    assert written(out, root / 'JPEGImages') == infos(dataset)


def test_voc_with_a_class_list(convert, tmp_path):
    root, out = write_voc(tmp_path / 'VOC2007', SPLIT), tmp_path / 'train.json'
    (tmp_path / 'classes.txt').write_text('dog\ncat\n')
    options = ['--split', 'train', '--classes', tmp_path / 'classes.txt', '--unknown', 'error']
    status, error = convert('voc.py', root, '--out', out, *options)
    assert status == 2 and "000009.xml: object 3 is a 'bike'" in error and '\n' not in error[:-1]
    assert not out.exists()
    assert convert('voc.py', root, '--out', out, *options[:-1], 'ignore')[0] == 0
    assert json.loads(out.read_text())['metainfo'] == {'classes': ['dog', 'cat']}
    assert [one['gt_label'] for one in json.loads(out.read_text())['data_list']] == [[1], [], [0]]


def test_voc_from_the_network(convert, tmp_path, monkeypatch):
    def fetch(root, year, image_set, download):
        assert (year, image_set, download) == ('2012', 'val', True)
        write_voc(tmp_path / 'data/VOCdevkit/VOC2012', SPLIT, 'val')

    monkeypatch.setattr(voc_download, 'VOCDetection', fetch)
    out = tmp_path / 'val.json'
    args = (tmp_path / 'data', '--out', out, '--download', '2012', '--split')
    assert convert('voc.py', *args, 'val')[0] == 0
    assert len(json.loads(out.read_text())['data_list']) == 3
    status, error = convert('voc.py', *args, 'test')
    assert status == 2 and 'its labels are not public' in error


def test_voc_without_its_list(convert, tmp_path):
    status, error = convert('voc.py', tmp_path, '--out', tmp_path / 'a.json')
    assert status == 2 and 'trainval.txt cannot be read' in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('concepts', [81, 1000])
@pytest.mark.parametrize('empty', ['keep', 'drop'])
def test_nus_wide(concepts, empty, convert, tmp_path):
    root, out = write_nus_wide(tmp_path / 'nuswide'), tmp_path / 'all.json'
    options = ('--split', 'all', '--concepts', concepts, '--empty', empty)
    status, text = convert('nus_wide.py', root, '--out', out, *options)
    assert status == 0 and 'Imagelist.txt' in text
    dataset = NUSWide(str(root), 'all', concepts, empty, missing='ignore')
    assert written(out, root / 'Flickr') == infos(dataset)


def test_nus_wide_with_missing_photos_and_a_class_list(convert, tmp_path):
    root, out = write_nus_wide(tmp_path / 'nuswide'), tmp_path / 'train.json'
    photos = write_photos(tmp_path / 'photos', 'zebra/0001_11.jpg')
    (tmp_path / 'classes.txt').write_text('zebra\nanimal\n')
    options = ('--classes', tmp_path / 'classes.txt', '--images', photos)
    assert convert('nus_wide.py', root, '--out', out, *options)[0] == 0
    assert json.loads(out.read_text()) == {
        'metainfo': {'classes': ['zebra', 'animal']},
        'data_list': [{'img_path': 'zebra/0001_11.jpg', 'gt_label': [0, 1]}],
    }


def test_nothing_is_left_of_a_conversion_that_fails(convert, tmp_path):
    root, out = write_nus_wide(tmp_path / 'nuswide'), tmp_path / 'new' / 'train.json'
    labels = root / 'Groundtruth/TrainTestLabels/Labels_zebra_Train.txt'
    labels.write_text('0\n1\n')
    status, error = convert('nus_wide.py', root, '--out', out)
    assert status == 2 and error.startswith('error: ') and error.count('\n') == 1
    assert 'lists 3 images' in error and 'has labels for 2' in error
    assert not out.parent.exists()
    status, error = convert('nus_wide.py', root, '--out', tmp_path)
    assert status == 2 and 'no JSON file' in error
