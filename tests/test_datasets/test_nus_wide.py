# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
from mmengine.logging import MMLogger
from nus_wide_files import CONCEPTS, SPLITS, TAGS, write_nus_wide, write_photos

from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS


@pytest.fixture
def build(tmp_path):
    root = write_nus_wide(tmp_path / 'nuswide')
    write_photos(root / 'Flickr', *(photo[0].replace('\\', '/') for photo in SPLITS['all']))

    def build(**options):
        return DATASETS.build(dict(type='cnnrnn_mm.NUSWide', data_root=str(root), **options))

    build.root = root
    return build


@pytest.mark.parametrize('split', ['train', 'test', 'all'])
@pytest.mark.parametrize('concepts', [81, 1000])
def test_annotations(split, concepts, build):
    dataset = build(split=split, concepts=concepts)
    assert class_names(dataset) == (CONCEPTS if concepts == 81 else TAGS)
    column = 1 if concepts == 81 else 2
    for row, photo in enumerate(SPLITS[split]):
        path = build.root / 'Flickr' / photo[0].replace('\\', '/')
        assert dataset.get_data_info(row) == dict(
            img_path=str(path), gt_label=photo[column], sample_idx=row
        )
        assert path.is_file()
        assert dataset.get_cat_ids(row) == photo[column]
    assert len(dataset) == len(SPLITS[split])


def test_photos_that_are_not_there_are_skipped(build, monkeypatch):
    warnings = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', warnings.append)
    (build.root / 'Flickr/actor/0001_2124494179.jpg').unlink()
    assert read_labels(build())[0][0].tolist() == [] and len(build()) == 2
    assert len(warnings) == 2 and '1 of the 3 images' in warnings[0]
    with pytest.raises(UsageError, match=r'image actor/0001_2124494179\.jpg \(line 1\)'):
        build(missing='error')
    assert len(build(missing='ignore', data_prefix='nowhere')) == 3


def test_choices_of_classes_and_images(build):
    dataset = build(metainfo=dict(classes=['zebra']), empty='drop')
    assert [one.tolist() for one in read_labels(dataset)[0]] == [[0]]
    assert dataset.metainfo['classes'] == ('zebra',)
    assert len(build(empty='drop', indices=1)) == 1


def test_photos_elsewhere(build, tmp_path):
    folder = write_photos(tmp_path / 'photos', 'actor/0003_5.jpg', 'beach/0007_6.jpg')
    dataset = build(split='test', data_prefix=str(folder))
    assert dataset.get_data_info(1)['img_path'] == str(folder / 'beach/0007_6.jpg')


def test_lazy_datasets_read_later(build):
    dataset = build(lazy_init=True)
    assert 'TrainImagelist.txt' in describe(dataset)
    (build.root / 'ConceptsList/Concepts81.txt').unlink()
    with pytest.raises(UsageError, match='Concepts81.txt does not exist'):
        len(dataset)


def test_unknown_split(build):
    with pytest.raises(UsageError, match="split='val' is unknown: choose one of train, test, all"):
        build(split='val', lazy_init=True)
