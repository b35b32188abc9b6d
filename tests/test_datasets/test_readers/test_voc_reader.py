# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import re
import time

import pytest
from mmengine.logging import MMLogger
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.datasets.readers import read_voc
from cnnrnn_mm.datasets.readers.voc_file import parse_voc_file
from cnnrnn_mm.errors import UsageError

CLASSES = ['cat', 'dog', 'person']

#: One photo for each way in which an object can be difficult.
SPLIT = {
    '000005': annotation(thing('person'), thing('cat'), thing('cat')),
    '000007': annotation(thing('dog', 1)),
    '2008_000003': annotation(thing('dog', 1), thing('dog', 0), thing('cat', 1), thing('person')),
    '000011': annotation(),
    '000012': annotation(thing('cat', None)),
}


def read(root, split=SPLIT, **options):
    root = write_voc(root, split)
    options = dict(classes=CLASSES) | options
    return read_voc(f'{root}/ImageSets/Main/train.txt', f'{root}/Annotations', **options)


def read_one(root, *things, **options):
    size = {'size': options.pop('size')} if 'size' in options else {}
    return read(root, {'1': annotation(*things, **size)}, **options)


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


@pytest.mark.parametrize(
    ('policy', 'labels', 'difficult'),
    [
        ('ignore', [(0, 2), (), (1, 2), (), (0,)], [(), (1,), (0,), (), ()]),
        ('negative', [(0, 2), (), (1, 2), (), (0,)], [()] * 5),
        ('positive', [(0, 2), (1,), (0, 1, 2), (), (0,)], [()] * 5),
    ],
)
def test_difficult_objects(policy, labels, difficult, tmp_path):
    table = read(tmp_path, difficult=policy)
    assert table.labels == labels
    assert table.difficult == difficult
    assert table.img_paths == [f'{image_id}.jpg' for image_id in SPLIT]
    assert table.classes == tuple(CLASSES)


def test_the_official_classes_are_the_default(tmp_path):
    table = read(tmp_path, classes=None)
    assert len(table.classes) == 20
    assert [table.classes[label] for label in table.labels[0]] == ['cat', 'person']


@pytest.mark.parametrize(
    ('policy', 'expected'),
    [
        # The dog that is not difficult has 20 x 10 of 200 x 100 pixels, the difficult one 40 x 10.
        ('ignore', {1: 0.01}),
        ('negative', {1: 0.01}),
        ('positive', {0: 0.25, 1: 0.02}),
    ],
)
def test_areas_are_of_the_objects_that_make_the_label(policy, expected, tmp_path):
    table = read_one(
        tmp_path,
        thing('dog', 0, (1, 1, 20, 10)),
        thing('dog', 0, (101, 51, 102, 52)),
        thing('dog', 1, (161, 91, 200, 100)),
        thing('cat', 1, (1, 1, 100, 50)),
        difficult=policy,
    )
    assert table.areas == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ('box', 'share'),
    [
        ((1, 1, 200, 100), 1.0),
        ((50, 50, 50, 50), 1 / 20000),  # the last pixel belongs to the object
        ((0, 0, 200, 100), 1.0),  # counted from 0
        ((-50, 91, 10, 140), 0.005),  # clipped to 10 x 10
        ((100.5, 1, 200, 100), 0.5025),
    ],
)
def test_boxes_are_clipped(box, share, tmp_path):
    assert read_one(tmp_path, thing('dog', 0, box)).areas == [{1: pytest.approx(share)}]


@pytest.mark.parametrize('size', ['', '<size><width>0</width><height>0</height></size>', '<size/>'])
def test_images_without_a_size_have_no_areas(size, tmp_path, warnings):
    table = read_one(tmp_path, thing('dog'), size=size)
    assert table.labels == [(1,)] and table.areas == [{}]
    (warning,) = warnings
    assert re.search(r'no areas for 1 images, .* no size: first .*1\.xml', warning)


def test_objects_without_a_box(tmp_path, warnings):
    table = read_one(tmp_path, thing('dog', 0, None), thing('cat'))
    assert table.labels == [(0, 1)] and table.areas == [{0: 0.25}]
    assert warnings == []


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (
            thing('dog', 0, (30, 1, 20, 50)),
            r'object 1 \(dog\) has the box 30, 1, 20, 50, which cov',
        ),
        (thing('dog', 0, (201, 1, 210, 50)), 'covers no pixel of its image of 200 x 100'),
        (thing('dog', 0, (1, 'x', 20, 50)), r'object 1 \(dog\) has the box 1, x, 20, 50: four num'),
        (thing('dog', 0, (1, 1, 'nan', 50)), 'has the box 1, 1, nan, 50: four numbers'),
        (thing('dog', 0, (1, 1, '', 50)), 'four numbers are needed'),
        (thing('dog', 2), r'object 1 \(dog\) has <difficult>2</difficult>: write 0 or 1'),
        (thing('dog', 'Unspecified'), 'write 0 or 1'),
        (thing(' '), 'object 1 has no name'),
    ],
)
def test_wrong_objects_are_named(bad, message, tmp_path):
    with pytest.raises(UsageError, match=f'Annotations/1.xml: .*{message}'):
        read_one(tmp_path, thing('person'), bad)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (annotation(thing('dog'))[:-4], r'1\.xml can not be read as XML \('),
        ('', 'can not be read as XML'),
        ('dog', 'can not be read as XML'),
        ('<html></html>', r'is no VOC annotation: it has <html>'),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', 'can not be read as XML'),
    ],
)
def test_files_that_are_no_annotation(text, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, {'1': text})


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_entities_are_not_expanded(encoding):
    """Each entity is ten of the one before: the last stands for gigabytes of text."""
    entities = ''.join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 11))
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY e0 "lol">{entities}]>'
        '<annotation><object><name>&e10;</name></object></annotation>'
    )
    begin = time.process_time()
    with pytest.raises(UsageError, match=r'1\.xml can not be read as XML \(it has a document type'):
        parse_voc_file(text.encode(encoding), '1.xml')
    assert time.process_time() - begin < 10


def test_outside_files_are_not_read(tmp_path):
    (tmp_path / 'secret').write_text('lol')
    text = (
        f'<!DOCTYPE a [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
        '<annotation><object><name>&e;</name></object></annotation>'
    )
    with pytest.raises(UsageError, match='document type'):
        parse_voc_file(text.encode(), '1.xml')


def test_unknown_classes_are_named_once(tmp_path, warnings):
    things = [thing('Cat'), thing('dgo'), thing('sheep'), thing('unicorn'), thing('Cat', 1)]
    table = read_one(tmp_path, thing('dog'), *things)
    assert table.labels == [(1,)] and table.difficult == [()]
    (warning,) = warnings
    assert "'Cat' (did you mean 'cat'?): 2, " in warning
    assert "'dgo' (did you mean 'dog'?)" in warning and "'unicorn': 1" in warning
    assert 'sheep' not in warning  # one of VOC's: the list is a choice
    assert read_one(tmp_path, *things, thing('dog'), unknown='ignore').labels == [(1,)]
    assert len(warnings) == 1


def test_unknown_classes_as_errors(tmp_path):
    read_one(tmp_path, thing('dog'), thing('sheep'), unknown='error')
    with pytest.raises(UsageError, match=r"1\.xml: object 1 is a 'DOG'.* \(did you mean 'dog'\?\)"):
        read_one(tmp_path, thing('dog'), thing('DOG'), unknown='error')


def test_boxes_of_objects_that_are_passed_over_are_not_looked_at(tmp_path):
    assert read_one(tmp_path, thing('sheep', 0, (9, 9, 1, 1)), thing('cat')).labels == [(0,)]


def listed(root, content, **options):
    write_voc(root, SPLIT)
    (root / 'ImageSets/Main/train.txt').write_bytes(content)
    return read_voc(f'{root}/ImageSets/Main/train.txt', f'{root}/Annotations', CLASSES, **options)


def test_blank_lines_and_crlf_in_the_list(tmp_path):
    table = listed(tmp_path, b'000005\r\n\r\n 000007 \r\n\n')
    assert table.img_paths == ['000005.jpg', '000007.jpg']
    assert table.where(1) == 'line 3'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            b'000005\n\n000099\n',
            r'train\.txt, line 3: annotation .*000099\.xml cannot be read \(No',
        ),
        (b'000005  1\n', r'line 1: annotation .*000005  1\.xml cannot be read'),
        (b'000005\n../secret\n', r"'\.\./secret\.jpg' \(line 2\) leaves the image folder"),
        (b'/etc/secret\n', r"'/etc/secret\.jpg' \(line 1\) leaves the image folder"),
        (b'000005\n000007\n000005\n', 'listed twice, as line 1 and line 3'),
        (b'000005\n\xff\n', 'line 2 is no UTF-8'),
        (b'\n', 'lists no image'),
    ],
)
def test_wrong_lists(content, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        listed(tmp_path, content)


def test_missing_list(tmp_path):
    with pytest.raises(UsageError, match=r'test\.txt cannot be read \(No such file'):
        read_voc(f'{tmp_path}/test.txt', str(tmp_path), CLASSES)


@pytest.mark.parametrize('options', [dict(difficult='maybe'), dict(unknown='skip')])
def test_unknown_options(options, tmp_path):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name}='{value}' is unknown: choose one of"):
        read(tmp_path, **options)
