# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnrnn_mm.datasets.label_table import LabelTable
from cnnrnn_mm.datasets.readers import read_json
from cnnrnn_mm.errors import UsageError

CLASSES = ('bus', 'cat', 'dog')
CONTENT = {
    'metainfo': {'dataset_type': 'multi-label', 'classes': list(CLASSES)},
    'data_list': [
        {'img_path': 'a.jpg', 'gt_label': [2, 0]},
        {'img_path': 'b/c.jpg', 'gt_label': [], 'width': 640},
        {'img_path': 'd.jpg', 'gt_label': 1},
    ],
}


def read(tmp_path, content=CONTENT, **options):
    path = tmp_path / 'train.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_json(path, **options)


def test_labels_in_any_order(tmp_path):
    table = read(tmp_path)
    assert table.classes == CLASSES and table.img_paths == ['a.jpg', 'b/c.jpg', 'd.jpg']
    assert table.labels == [(0, 2), (), (1,)]
    assert table.difficult is None and table.areas is None


def test_class_names_of_the_argument_and_of_categories(tmp_path):
    names = ['x', 'y', 'z', 'w']
    assert read(tmp_path, classes=names).classes == tuple(names)
    categories = [{'id': 1, 'category_name': 'two'}, {'id': 0, 'category_name': 'one'}]
    entries = [{'img_path': 'a.jpg', 'gt_label': [1]}]
    content = {'metainfo': {'categories': categories}, 'data_list': entries}
    assert read(tmp_path, content).classes == ('one', 'two')


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    column = st.lists(st.sets(st.integers(0, 3)), min_size=count, max_size=count)
    labels, other = draw(column), draw(column)
    difficult = [tuple(sorted(b - a)) for a, b in zip(labels, other, strict=True)]
    share = st.floats(0, 1, exclude_min=True)
    areas = [{label: draw(share) for label in ids} for ids in labels]
    return LabelTable(
        source='test',
        classes=('bus', 'cat', 'dog', 'Ä "x"'),
        img_paths=[f'{row}.jpg' for row in range(count)],
        labels=[tuple(sorted(ids)) for ids in labels],
        difficult=difficult if draw(st.booleans()) else None,
        areas=areas if draw(st.booleans()) else None,
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_what_a_table_saves_is_read_again(table, tmp_path):
    table.save(tmp_path / 'saved.json')
    again = read_json(tmp_path / 'saved.json')
    for name in ('classes', 'img_paths', 'labels', 'difficult', 'areas'):
        assert getattr(again, name) == getattr(table, name), name


def changed(change):
    content = copy.deepcopy(CONTENT)
    change(content)
    return content


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('data_list'), r'has no data_list; expected an annotation file'),
        (lambda c: c.update(data_list={}), r'has no data_list'),
        (lambda c: c.update(data_list=[]), r'lists no image: an empty split'),
        (lambda c: c.pop('metainfo'), r'has no metainfo; expected'),
        (
            lambda c: c['metainfo'].pop('classes'),
            r'has no list of classes in its metainfo.*or give',
        ),
        (lambda c: c['metainfo'].update(classes='bus'), r'has no list of classes'),
        (lambda c: c['metainfo'].update(classes=['a', 'b', 'a']), r"class name 'a' comes twice"),
        (
            lambda c: c['metainfo'].update(classes=['a']),
            r'image a\.jpg \(entry 0\): label 2 is out',
        ),
        (lambda c: c['data_list'][1].pop('gt_label'), r'entry 1 of data_list has no gt_label'),
        (lambda c: c['data_list'][1].pop('img_path'), r'entry 1 of data_list has no img_path'),
        (lambda c: c['data_list'].append('e.jpg'), r'entry 3 of data_list has no img_path'),
        (
            lambda c: c['data_list'][2].update(img_path='a.jpg'),
            r'listed twice, as entry 0 and entr',
        ),
        (
            lambda c: c['data_list'][2].update(img_path='../a.jpg'),
            r'\(entry 2\) leaves the image f',
        ),
        (lambda c: c['data_list'][2].update(img_path=5), r'entry 2 has 5 as its image path'),
        (lambda c: c['data_list'][0].update(gt_label=[0, 3]), r'label 3 is outside 0\.\.2'),
        (lambda c: c['data_list'][0].update(gt_label=['cat']), r"label 'cat' is no integer"),
        (lambda c: c['data_list'][0].update(gt_label=[1.5]), r'label 1\.5 is no integer'),
        (
            lambda c: c['data_list'][0].update(gt_label=[0, 2, 0]),
            r'entry 0 of data_list has gt_label=\[0, 2, 0\], which names a label twice',
        ),
        (lambda c: c['data_list'][0].update(gt_label='cat'), r"gt_label='cat', which is no list"),
        (lambda c: c['data_list'][0].update(gt_label=None), r'gt_label=None, which is no list'),
        (lambda c: c['data_list'][0].update(gt_label=[0, 'x']), r"=\[0, 'x'\], which is no list"),
        (lambda c: c['data_list'][0].update(gt_label=[[0]]), r'=\[\[0\]\], which is no list'),
        (lambda c: c['data_list'][0].update(gt_label={'task': [0]}), r'which is no list of class'),
        (
            lambda c: c['data_list'][0].update(gt_label_difficult=[2]),
            r'a\.jpg \(entry 0\) has a label that is difficult and not difficult at once',
        ),
        (lambda c: c['data_list'][0].update(gt_area={'1': 0.5}), r'an area for label 1, which it'),
        (lambda c: c['data_list'][0].update(gt_area={'cat': 0.5}), r'which does not map class ids'),
        (lambda c: c['data_list'][0].update(gt_area=[0.5]), r'which does not map class ids'),
    ],
)
def test_wrong_entries_are_named(tmp_path, change, message):
    with pytest.raises(UsageError, match=r'train\.json.*' + message) as caught:
        read(tmp_path, changed(change))
    assert '\n' not in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(UsageError, match=r'train\.json is no JSON'):
        read(tmp_path, json.dumps(CONTENT)[:-9])
    with pytest.raises(UsageError, match=r'none\.json cannot be read'):
        read_json(tmp_path / 'none.json')


def test_paths_without_an_image_folder_are_free(tmp_path):
    content = changed(lambda c: c['data_list'][0].update(img_path='/photos/a.jpg'))
    assert read(tmp_path, content, rooted=False).img_paths[0] == '/photos/a.jpg'
    with pytest.raises(UsageError, match='leaves the image folder'):
        read(tmp_path, content)
