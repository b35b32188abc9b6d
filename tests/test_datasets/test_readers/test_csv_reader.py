# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnrnn_mm.datasets.readers import CsvLayout, read_csv
from cnnrnn_mm.errors import UsageError

PLAIN = 'path,labels\na.jpg,dog;person\nb/c.jpg,\nd.jpg,traffic light\n'


def read(tmp_path, content, classes=None, classes_from=None, **layout):
    path = tmp_path / 'train.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, classes, classes_from, CsvLayout(**layout))


def test_labels_of_the_file_are_the_classes(tmp_path):
    table = read(tmp_path, PLAIN)
    assert table.classes == ('dog', 'person', 'traffic light')
    assert table.img_paths == ['a.jpg', 'b/c.jpg', 'd.jpg']
    assert table.labels == [(0, 1), (), (2,)]
    assert table.difficult is None and table.areas is None
    assert [table.where(row) for row in range(3)] == ['line 2', 'line 3', 'line 4']


@pytest.mark.parametrize(
    ('content', 'layout'),
    [
        ('path,labels\r\na.jpg,dog;person\r\nb/c.jpg,\r\nd.jpg,traffic light', {}),
        ('\ufeffpath,labels\na.jpg,dog;person\nb/c.jpg,""\nd.jpg,"traffic light"\n', {}),
        ('\n path , labels\n\na.jpg, person ; dog\n"b/c.jpg",  \n\nd.jpg,traffic light\n\n', {}),
        ('n,labels,path\n1,dog;person,a.jpg\n2,,b/c.jpg\n3,traffic light,d.jpg\n', {}),
        (
            'file\ttags\na.jpg\tdog|person\nb/c.jpg\t\nd.jpg\ttraffic light\n',
            dict(delimiter='\t', separator='|', path_column='file', labels_column='tags'),
        ),
        ('a.jpg,dog;person\nb/c.jpg,\nd.jpg,traffic light\n', dict(header=False)),
        ('path,labels\na.jpg,"dog,person"\nb/c.jpg,\nd.jpg,traffic light\n', dict(separator=',')),
        (
            'path,labels\na.jpg,dog and person\nb/c.jpg,\nd.jpg,traffic light',
            dict(separator=' and '),
        ),
        (
            'path,dog,person,traffic light\na.jpg,1, 1,0\nb/c.jpg,0,0,0\nd.jpg,0,0,1\n',
            dict(one_hot=True),
        ),
        (PLAIN.encode('utf-16'), dict(encoding='utf-16')),
    ],
)
def test_layouts_of_the_same_content(tmp_path, content, layout):
    table = read(tmp_path, content, **layout)
    assert table.classes == ('dog', 'person', 'traffic light')
    assert table.img_paths == ['a.jpg', 'b/c.jpg', 'd.jpg']
    assert table.labels == [(0, 1), (), (2,)]


def test_classes_are_given(tmp_path):
    names = ['traffic light', 'cat', 'person', 'dog']
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    for classes in (names, tmp_path / 'classes.txt'):
        table = read(tmp_path, PLAIN, classes)
        assert table.classes == tuple(names) and table.labels == [(2, 3), (), (0,)]


def test_classes_of_another_split(tmp_path):
    (tmp_path / 'first.csv').write_text('path,labels\nx.jpg,cat;dog\ny.jpg,person;traffic light\n')
    table = read(tmp_path, PLAIN, classes_from=tmp_path / 'first.csv')
    assert table.classes == ('cat', 'dog', 'person', 'traffic light')
    assert table.labels == [(1, 2), (), (3,)]


def test_order_of_columns_and_of_names(tmp_path):
    one_hot = 'path,zebra,ant\na.jpg,1,0\nb.jpg,0,1\n'
    assert read(tmp_path, one_hot, one_hot=True).classes == ('zebra', 'ant')
    table = read(tmp_path, one_hot, ['ant', 'bee', 'zebra'], one_hot=True)
    assert table.labels == [(2,), (0,)]
    assert read(tmp_path, 'path,labels\na.jpg,b;Ä;a;B\n').classes == ('B', 'a', 'b', 'Ä')


def test_a_comma_in_a_listed_class_is_a_comma(tmp_path):
    table = read(tmp_path, 'path,labels\na.jpg,"lamp, red;dog"\n', ['dog', 'lamp, red'])
    assert table.labels == [(0, 1)]
    # In a header of its own, a comma separates nothing.
    table = read(tmp_path, 'path,dog,"lamp, red"\na.jpg,0,1\n', one_hot=True)
    assert table.classes == ('dog', 'lamp, red') and table.labels == [(1,)]


WORD = st.text(
    st.characters(
        codec='utf-8', exclude_categories=('Cc', 'Cs', 'Zl', 'Zp'), exclude_characters=';,'
    ),
    min_size=1,
    max_size=5,
).filter(lambda text: text == text.strip() != '')
ROWS = st.lists(st.lists(st.sampled_from(range(4)), unique=True), min_size=1, max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(WORD, min_size=4, max_size=4, unique=True),
    rows=ROWS,
    one_hot=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read(names, rows, one_hot, quoting, tmp_path):
    """Whatever the names: quotes, line ends and other writing systems among them."""
    text = io.StringIO(newline='')
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(['path', *names] if one_hot else ['path', 'labels'])
    for number, ids in enumerate(rows):
        cells = (
            [int(one in ids) for one in range(4)] if one_hot else [';'.join(names[i] for i in ids)]
        )
        writer.writerow([f'{number}.jpg', *cells])
    table = read(tmp_path, text.getvalue(), names, one_hot=one_hot)
    assert table.labels == [tuple(sorted(ids)) for ids in rows]
    collected = read(tmp_path, text.getvalue(), one_hot=one_hot) if one_hot or any(rows) else None
    if collected is not None:
        shown = [{collected.classes[i] for i in ids} for ids in collected.labels]
        assert shown == [{names[i] for i in ids} for ids in rows]
        assert one_hot or list(collected.classes) == sorted({names[i] for ids in rows for i in ids})


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', r'train\.csv is empty: its first line must name the columns'),
        ('\n\n', r'is empty'),
        ('path,labels\n', r'lists no image: an empty split can not be used'),
        ('path,labels\na.jpg,\n', r'has no label: give the classes by name'),
        (
            'a.jpg,dog\n',
            r"line 1 names the column 'path' 0 times: its columns are a\.jpg, dog; name",
        ),
        ('path,path,labels\na,b,c\n', r"line 1 names the column 'path' 2 times"),
        (
            'path,tags\na.jpg,dog\n',
            r"names the column 'labels' 0 times.*labels_column, or give head",
        ),
        (
            'path,labels\na.jpg,dog\n\nb.jpg,lamp, red\n',
            r"line 4 has 3 cells instead of 2: separate labels by ';' and put a cell that",
        ),
        ('path,labels\na.jpg\n', r'line 2 has 1 cells instead of 2'),
        ('path,labels\na.jpg,dog\n,\n', r"line 3 has '' as its image path"),
        (
            'path,labels\na.jpg,"dog,person"\n',
            r"line 2 has the label 'dog,person', with a comma: sep",
        ),
        ('path,labels\na.jpg,dog;person;dog\n', r"line 2 has the label 'dog' twice: list it once"),
        (
            'path,labels\na.jpg,dog;;cat\n',
            r"line 2 has an empty label in 'dog;;cat': remove the ext",
        ),
        ('path,labels\na.jpg,dog;\n', r"line 2 has an empty label in 'dog;'"),
        (
            'path,labels\na.jpg,dog\n"b\n.jpg",dog\nc.jpg,dog\na.jpg,cat\n',
            r'image a\.jpg is listed twice, as line 2 and line 6: merge their labels',
        ),
        (
            'path,labels\n../a.jpg,dog\n',
            r"image path '\.\./a\.jpg' \(line 2\) leaves the image fold",
        ),
        ('path,labels\n/a.jpg,dog\n', r'\(line 2\) leaves the image folder'),
        ('path,labels\na.jpg,dog\nb.jpg,"dog\nc.jpg,dog\n', r'line 3 is no CSV \(unexpected end'),
        ('path,labels\na.jpg,"dog"cat\n', r'line 2 is no CSV'),
        (
            'path,labels\na.jpg,dog\nb.jpg,café\n'.encode('latin-1'),
            r'line 3 is no utf-8 text: save the file as UTF-8 or give its encoding, such as enc',
        ),
        (PLAIN.encode('utf-16'), r'line 1 is no utf-8 text'),
    ],
)
def test_wrong_lines_are_named(tmp_path, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, content)
    assert 'train.csv' in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        (PLAIN, dict(classes=['dog', 'persons', 'cat']), r"not in the class list: did you mean"),
        (PLAIN, dict(classes=['dog;cat']), r"class 'dog;cat' holds the separator ';'"),
        (PLAIN, dict(classes=['dog'], classes_from='x.csv'), r'the classes are given twice'),
        (PLAIN, dict(classes_from='none.csv'), r'none\.csv cannot be read \(No such file'),
        (PLAIN, dict(encoding='utf-9'), r"encoding='utf-9' is unknown"),
        (PLAIN, dict(separator=' '), r"separator=' ': give a visible one"),
        (PLAIN, dict(delimiter=', '), r"delimiter=', ': give one character"),
        (PLAIN, dict(header=False), r'line 1 names the columns: leave out header=False'),
        (PLAIN, dict(header=False, one_hot=True), r'one_hot=True needs header=True'),
        (PLAIN, dict(one_hot=True), r"line 2 has 'dog;person' for class 'labels': write 0 or 1"),
        ('path,a,b\nx.jpg,1,2\n', dict(one_hot=True), r"line 2 has '2' for class 'b'"),
        ('path,a,b\nx.jpg,1,\n', dict(one_hot=True), r"line 2 has '' for class 'b'"),
        ('path,a,a\nx.jpg,1,1\n', dict(one_hot=True), r"line 1: class name 'a' comes twice"),
        ('path,a,b\nx.jpg,1,1\n', dict(one_hot=True, classes=['a']), r"line 1 has the label 'b'"),
    ],
)  # fmt: skip
def test_wrong_choices(tmp_path, content, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, content, **options)
    assert '\n' not in str(caught.value)


def test_label_that_the_training_split_has_not(tmp_path):
    (tmp_path / 'first.csv').write_text('path,labels\nx.jpg,cat;dog\n')
    with pytest.raises(
        UsageError, match=r"train\.csv, line 2 has the label 'person', which is not in .*first\.csv"
    ):
        read(tmp_path, PLAIN, classes_from=tmp_path / 'first.csv')
