# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What can be wrong with a COCO file, or with the choices about it, is named."""

import copy
import json

import pytest
from coco_files import SPLIT, annotation, category, instances, photo, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnrnn_mm.datasets.readers import read_coco
from cnnrnn_mm.errors import UsageError


def read(tmp_path, content=SPLIT, **options):
    return read_coco(write(tmp_path / 'instances.json', content), **options)


def changed(change):
    content = copy.deepcopy(SPLIT)
    change(content)
    return content


CAPTIONS = {
    'info': {},
    'images': [photo(9)],
    'licenses': [],
    'annotations': [{'image_id': 9, 'id': 48, 'caption': 'A dog.'}],
}
PANOPTIC = changed(lambda content: None) | {
    'annotations': [{'segments_info': [], 'file_name': '9.png', 'image_id': 9}]
}
KEYPOINTS = instances([photo(9)], [annotation(1, 9, 1, keypoints=[0] * 51, num_keypoints=0)]) | {
    'categories': [category(1, 'person') | {'keypoints': ['nose'], 'skeleton': [[1, 2]]}]
}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('categories'), r"has no list 'categories': give an instances file"),
        (lambda c: c.pop('annotations'), r"has no list 'annotations'"),
        (lambda c: c.update(images=[]), r"its list 'images' is empty"),
        (lambda c: c.update(images={}), r"has no list 'images'"),
        (lambda c: c['images'][1].pop('file_name'), r'entry 1 of images has no file_name'),
        (lambda c: c['annotations'][2].pop('image_id'), r'entry 2 of annotations has no image_id'),
        (lambda c: c['annotations'].append(7), r'entry 5 of annotations has no image_id'),
        (
            lambda c: c['annotations'][3].update(image_id=77),
            r'entry 3 of annotations has image_id 77, which is not in images: add it',
        ),
        (lambda c: c['annotations'][3].update(image_id=[9]), r'entry 3 .* has image_id \[9\]'),
        (
            lambda c: c['annotations'][0].update(category_id=12),
            r'entry 0 of annotations has category_id 12, which is not in categories: add it',
        ),
        (lambda c: c['annotations'][0].pop('category_id'), r'has category_id None, which is not'),
        (
            lambda c: c['annotations'][1].update(bbox=[0, 0, -1, 5]),
            r'entry 1 of annotations has bbox \[0, 0, -1, 5\], not four finite numbers',
        ),
        (lambda c: c['annotations'][1].update(bbox=[0, 0, float('nan'), 5]), r'bbox \[0, 0, nan'),
        (lambda c: c['annotations'][1].update(bbox=[float('nan'), 0, 5, 5]), r'bbox \[nan, 0'),
        (lambda c: c['annotations'][1].update(bbox=[0, 0, 5, float('inf')]), r'bbox \[0, 0, 5, in'),
        (lambda c: c['annotations'][1].update(bbox=[0, 0, 5]), r'bbox \[0, 0, 5\], not four'),
        (lambda c: c['annotations'][1].update(bbox=['0', 0, 5, 5]), r"bbox \['0', 0, 5, 5\]"),
        (lambda c: c['annotations'][1].update(bbox=7), r'bbox 7, not four'),
        (lambda c: c['images'][2].update(width=-640), r'entry 2 of images .* has width -640 and'),
        (lambda c: c['images'][2].update(height='480'), r"and height '480': give both in pixels"),
        (lambda c: c['images'][2].pop('id'), r'entry 2 of images .* has id None'),
        (
            lambda c: c['images'][2].update(id=9),
            r'entries 0 and 2 of images both have id 9: list each image once',
        ),
        (
            lambda c: c['images'][3].update(file_name=photo(25)['file_name']),
            r'image COCO_train2014_000000000025\.jpg is listed twice, as entry 1 and entry 3',
        ),
        (
            lambda c: c['images'][1].update(file_name='../../etc/passwd'),
            r"image path '\.\./\.\./etc/passwd' \(entry 1\) leaves the image folder",
        ),
        (lambda c: c['images'][1].update(file_name=7), r'entry 1 has 7 as its image path'),
        (lambda c: c['categories'][1].update(id='1'), r"entry 1 of categories has id '1'"),
        (lambda c: c['categories'][1].pop('name'), r'entry 1 of categories has id 1 and name None'),
        (
            lambda c: c['categories'][1].update(id=18),
            r"category id 18 stands for 'dog' and 'person'",
        ),
        (lambda c: c['categories'][1].update(name='dog'), r"two categories have the name 'dog'"),
    ],
)
def test_wrong_entries_are_named(tmp_path, change, message):
    with pytest.raises(UsageError, match=r'instances\.json.*' + message) as caught:
        read(tmp_path, changed(change))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (CAPTIONS, r'is a COCO captions file, without objects: give an instances file'),
        (PANOPTIC, r'is a COCO panoptic file'),
        (KEYPOINTS, r'is a COCO keypoints file, without the other objects'),
        ({'metainfo': {}, 'data_list': []}, r'is no COCO file but one of MultiLabelDataset'),
        ([], r'is no COCO file'),
        ('x', r'is no COCO file'),
    ],
)
def test_other_files_are_told_apart(tmp_path, content, message):
    with pytest.raises(UsageError, match=r'instances\.json ' + message):
        read(tmp_path, content)


def test_a_keypoints_file_can_be_meant(tmp_path):
    assert read(tmp_path, KEYPOINTS, classes=['person']).labels == [(0,)]


@given(share=st.floats(0.01, 0.99))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_part_of_a_file_is_no_whole_file(share, tmp_path):
    text = json.dumps(SPLIT)
    (tmp_path / 'part.json').write_text(text[: int(share * len(text))])
    with pytest.raises(UsageError, match=r'part\.json is no whole JSON file .* fetch it again'):
        read_coco(tmp_path / 'part.json')


def test_unreadable_files(tmp_path):
    with pytest.raises(UsageError, match=r'none\.json cannot be read \(No such file'):
        read_coco(tmp_path / 'none.json')
    (tmp_path / 'a.zip').write_bytes(b'PK\x03\x04\xff\xfe\x80')
    with pytest.raises(UsageError, match=r'a\.zip is no UTF-8 text \(byte 4\)'):
        read_coco(tmp_path / 'a.zip')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classes=['persn']), r"no category 'persn' of the class list: did you mean 'person'"),
        (dict(classes=['dog', 'dog']), r"class name 'dog' comes twice"),
        (dict(crowd=True), r'crowd=True is unknown: choose one of keep, drop'),
        (dict(empty='remove'), r"empty='remove' is unknown"),
        (dict(classes=['toothbrush'], empty='drop'), r'no image has a label of the 1 classes'),
    ],
)
def test_wrong_choices(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, **options)
