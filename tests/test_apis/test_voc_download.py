# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Nothing is fetched here: torchvision's archives are made by the tests and put where they lie."""

import hashlib
import tarfile
from urllib.error import URLError

import pytest
from torchvision.datasets import voc as torchvision_voc
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.apis import voc_download
from cnnrnn_mm.apis.voc_download import download_voc
from cnnrnn_mm.errors import UsageError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """``archive(key, split, year)``: an archive is in ``tmp_path/data``, as if fetched."""

    def make(key, split, year):
        inner = tmp_path / key / 'VOCdevkit' / f'VOC{year}'
        write_voc(inner, {'1': annotation(thing('dog', 1), thing('cat'))}, split)
        entry = dict(torchvision_voc.DATASET_YEAR_DICT[key])
        path = tmp_path / 'data' / entry['filename']
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, 'w') as tar:
            tar.add(tmp_path / key / 'VOCdevkit', 'VOCdevkit')
        entry['md5'] = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(torchvision_voc.DATASET_YEAR_DICT, key, entry)
        return tmp_path / 'data', path

    return make


def offline(*_, **__):
    raise URLError('no network in tests')


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr('torchvision.datasets.utils._urlretrieve', offline)
    monkeypatch.setattr('torchvision.datasets.utils._get_redirect_url', lambda url, **_: url)


@pytest.mark.parametrize(
    ('key', 'year', 'split'),
    [
        ('2007', '2007', 'trainval'),
        ('2007-test', '2007', 'test'),
        ('2012', '2012', 'val'),
    ],
)
def test_archives_are_unpacked(key, year, split, archive):
    root, _ = archive(key, split, year)
    folder = download_voc(root, year, split)
    assert folder == root / 'VOCdevkit' / f'VOC{year}'
    assert (folder / 'Annotations/1.xml').is_file()
    assert (folder / f'ImageSets/Main/{split}.txt').read_text() == '1\n'


def test_an_archive_with_another_sum_is_not_unpacked(archive):
    root, path = archive('2012', 'val', '2012')
    path.write_bytes(path.read_bytes() + b'x')
    with pytest.raises(UsageError, match=r'VOC 2012 cannot be downloaded to .*no network'):
        download_voc(root, '2012', 'val')
    assert not (root / 'VOCdevkit').exists()


def test_an_archive_that_is_not_whole(archive, monkeypatch):
    root, path = archive('2012', 'val', '2012')
    path.write_bytes(b'x' * 1000)
    entry = torchvision_voc.DATASET_YEAR_DICT['2012']
    monkeypatch.setitem(entry, 'md5', hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(UsageError, match='cannot be downloaded'):
        download_voc(root, '2012', 'val')


@pytest.mark.parametrize(
    ('year', 'split', 'message'),
    [
        ('2012', 'test', r"VOC 2012 has no split 'test' to download \(its labels are not public\)"),
        ('2007', 'all', "no split 'all' to download: choose one of train, val, trainval, test"),
        ('2011', 'val', 'VOC 2011 is unknown: choose one of 2007, 2012'),
    ],
)
def test_splits_that_there_are_not(year, split, message, tmp_path, monkeypatch):
    monkeypatch.setattr(voc_download, 'VOCDetection', offline)
    with pytest.raises(UsageError, match=message):
        download_voc(tmp_path, year, split)
