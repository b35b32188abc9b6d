# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.datasets import MultiLabelDataset

from cnnrnn_mm.datasets.label_table import LabelTable, write_whole
from cnnrnn_mm.errors import UsageError

CLASSES = ('bus', 'cat', 'dog')


def table(**changes):
    parts = dict(
        source='a.csv',
        classes=CLASSES,
        img_paths=['a.jpg', 'b/c.jpg', 'd.jpg'],
        labels=[(0, 2), (), ()],
        difficult=[(1,), (), (2,)],
        areas=[{0: 0.5, 1: 1.0}, {}, {}],
    )
    return LabelTable(**(parts | changes))


def test_infos_are_what_datasets_serve():
    assert table().infos('photos') == [
        dict(
            img_path='photos/a.jpg',
            gt_label=[0, 2],
            gt_label_difficult=[1],
            gt_area={0: 0.5, 1: 1.0},
        ),
        dict(img_path='photos/b/c.jpg', gt_label=[], gt_label_difficult=[], gt_area={}),
        dict(img_path='photos/d.jpg', gt_label=[], gt_label_difficult=[2], gt_area={}),
    ]
    plain = table(difficult=None, areas=None).infos()
    assert plain[0] == dict(img_path='a.jpg', gt_label=[0, 2])


def test_infos_are_apart_from_the_table():
    whole = table()
    whole.infos()[0]['gt_label'].append(1)
    whole.infos()[0]['gt_area'][2] = 0.1
    assert whole.labels[0] == (0, 2) and whole.areas[0] == {0: 0.5, 1: 1.0}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(classes=()), r'a\.csv names no class'),
        (dict(classes=('bus', '', 'dog')), r'a\.csv: class 1 has no name'),
        (dict(classes=('bus', 'bus', 'dog')), r"class name 'bus' comes twice, as 0 and 1"),
        (dict(labels=[()]), r'1 entries of labels for 3 images'),
        (dict(areas=[{}]), r'1 entries of areas for 3 images'),
        (dict(numbers=[2]), r'1 entries of numbers for 3 images'),
        (
            dict(img_paths=[], labels=[], difficult=None, areas=None),
            r'a\.csv lists no image: an empty split',
        ),
        (
            dict(img_paths=['a.jpg', 'b.jpg', 'a.jpg']),
            r'a\.csv: image a\.jpg is listed twice, as entry 0 and entry 2: merge',
        ),
        (dict(img_paths=['a.jpg', 'b.jpg', './a.jpg']), r'listed twice, as entry 0 and entry 2'),
        (dict(img_paths=['b//a.jpg', 'b.jpg', 'b/a.jpg']), r'listed twice, as entry 0 and entry 2'),
        (
            dict(img_paths=['a.jpg', '../b.jpg', 'c.jpg'], numbers=[2, 5, 9], counted='line'),
            r"image path '\.\./b\.jpg' \(line 5\) leaves the image folder: give paths below it",
        ),
        (dict(img_paths=['a.jpg', 'b\0.jpg', 'c.jpg']), r'\(entry 1\) leaves the image folder'),
        (dict(img_paths=['a.jpg', '', 'c.jpg']), r"entry 1 has '' as its image path"),
        (dict(img_paths=['a.jpg', None, 'c.jpg']), r'entry 1 has None as its image path'),
        (
            dict(labels=[(0, 3), (), ()]),
            r'image a\.jpg \(entry 0\): label 3 is outside 0\.\.2: correct the annotation',
        ),
        (dict(labels=[(), (), (-1,)]), r'image d\.jpg \(entry 2\): label -1 is outside'),
        (dict(labels=[(True,), (), ()]), r'label True is no integer'),
        (dict(labels=[(2, 0), (), ()]), r'labels \[2, 0\] are not ascending and distinct'),
        (dict(labels=[(2, 2), (), ()]), r'labels \[2, 2\] are not ascending and distinct'),
        (dict(difficult=[(7,), (), ()]), r'label 7 is outside'),
        (dict(difficult=[(1, 2), (), ()]), r'a\.jpg \(entry 0\) has a label that is difficult and'),
        (dict(areas=[{}, {1: 0.5}, {}]), r'b/c\.jpg \(entry 1\): an area for label 1, which it'),
        (dict(areas=[{0: 0.0}, {}, {}]), r'label 0 covers 0\.0 of it: shares are in'),
        (dict(areas=[{0: 1.01}, {}, {}]), r'label 0 covers 1\.01'),
        (dict(areas=[{0: float('nan')}, {}, {}]), r'label 0 covers nan'),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        table(**changes)
    assert '\n' not in str(caught.value)


def test_paths_are_free_where_no_folder_can_be_left():
    free = table(img_paths=['/a.jpg', '../b.jpg', 'c.jpg'], rooted=False)
    assert free.infos()[0]['img_path'] == '/a.jpg'
    with pytest.raises(UsageError, match='listed twice'):
        table(img_paths=['/a.jpg', '../b.jpg', '/./a.jpg'], rooted=False)


def test_select_keeps_rows_whole():
    chosen = table(numbers=[4, 5, 8], counted='line').select([2, 0])
    assert chosen.img_paths == ['d.jpg', 'a.jpg']
    assert chosen.labels == [(), (0, 2)] and chosen.difficult == [(2,), (1,)]
    assert chosen.areas == [{}, {0: 0.5, 1: 1.0}]
    assert [chosen.where(row) for row in range(2)] == ['line 8', 'line 4']
    again = table().select([1, 2]).select([1])
    assert again.where(0) == 'entry 2' and again.img_paths == ['d.jpg']


def test_images_without_a_label_can_be_left_out():
    assert table().without_empty().img_paths == ['a.jpg', 'd.jpg']
    plain = table(difficult=None, areas=None)
    assert plain.without_empty().img_paths == ['a.jpg']
    with pytest.raises(UsageError, match=r"no image has a label of the 3 classes.*empty='keep'"):
        table(labels=[()] * 3, difficult=None, areas=None).without_empty()


LABEL_SETS = st.lists(
    st.sets(st.integers(0, 4)).map(lambda ids: tuple(sorted(ids))), min_size=1, max_size=6
)
NAMES = st.lists(
    st.text(
        st.characters(codec='utf-8', exclude_categories=('Cc', 'Cs', 'Zl', 'Zp')), min_size=1
    ).filter(str.strip),
    min_size=5,
    max_size=5,
    unique=True,
)


@settings(max_examples=30)
@given(label_sets=LABEL_SETS, names=NAMES)
def test_the_host_reads_what_was_written(label_sets, names, tmp_path_factory):
    path = tmp_path_factory.mktemp('written') / 'a.json'
    paths = [f'{row}.jpg' for row in range(len(label_sets))]
    LabelTable('test', tuple(names), paths, label_sets).save(path)
    # Serialising would collect garbage once an example.
    dataset = MultiLabelDataset(str(path), data_prefix='photos', serialize_data=False)
    assert list(dataset.metainfo['classes']) == names
    infos = [dataset.get_data_info(row) for row in range(len(dataset))]
    assert [tuple(info['gt_label']) for info in infos] == label_sets
    assert [info['img_path'] for info in infos] == [f'photos/{one}' for one in paths]


def test_saved_areas_have_class_ids_as_strings(tmp_path):
    table().save(tmp_path / 'new' / 'a.json')
    entry = json.loads((tmp_path / 'new' / 'a.json').read_text())['data_list'][0]
    assert entry['gt_area'] == {'0': 0.5, '1': 1.0} and entry['gt_label_difficult'] == [1]


def test_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('before')

    def fail(unfinished):
        unfinished.write_text('half')
        raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'):
        write_whole(path, fail)
    assert [one.name for one in tmp_path.iterdir()] == ['a.json']
    assert path.read_text() == 'before'


def test_unwritable_place_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UsageError, match=r'cannot write .*file/a\.json: .*: name another place'):
        table().save(tmp_path / 'file' / 'a.json')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UsageError, match=r'cannot write .*folder: Is a directory'):
        table().save(tmp_path / 'folder')
    assert sorted(one.name for one in tmp_path.iterdir()) == ['file', 'folder']


def test_large_tables_are_checked_in_seconds():
    count = 200_000
    labels = [(row % 20, 20 + row % 61) for row in range(count)]
    areas = [{ids[0]: 0.5} for ids in labels]
    paths = [f'{row % 100}/{row}.jpg' for row in range(count)]
    start = time.process_time()
    LabelTable('test', tuple(map(str, range(81))), paths, labels, areas=areas)
    assert time.process_time() - start < 6
