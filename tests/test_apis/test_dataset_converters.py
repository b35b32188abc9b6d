# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import io
import re

import pytest
from rich.console import Console

from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.datasets.label_table import LabelTable
from cnnrnn_mm.datasets.readers import read_json
from cnnrnn_mm.errors import UsageError


def converted(table, out):
    """The lines of the summary, as {name: value}."""
    text = io.StringIO()
    convert(table, out, Console(file=text, width=200))
    rows = re.findall(r'│ (.*?) +│ +(.*?) │', text.getvalue())
    assert str(out) in text.getvalue() and table.source in text.getvalue()
    return dict(rows)


def test_summary_counts_what_is_written(tmp_path):
    table = LabelTable(
        source='[b]a.csv',
        classes=('cat', '[red]dog', 'bus', 'ant', 'bee', 'cow', 'elk', 'fox'),
        img_paths=['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'],
        labels=[(0, 2), (), (0,), ()],
        difficult=[(), (3,), (), ()],
    )
    assert converted(table, tmp_path / 'new' / 'a.json') == {
        'images': '4',
        'images without labels': '2',
        'classes': '8',
        'classes without images': '6: [red]dog, ant, bee, cow, elk, ...',
        'labels': '3',
        'labels an image': '0.75',
        'difficult labels': '1',
    }
    again = read_json(tmp_path / 'new' / 'a.json')
    assert again.labels == table.labels and again.classes == table.classes


def test_nothing_is_left_out_of_a_full_split(tmp_path):
    table = LabelTable('a', ('cat',), ['a.jpg'], [(0,)])
    summary = converted(table, tmp_path / 'a.json')
    assert summary['classes without images'] == summary['images without labels'] == '0'
    assert 'difficult labels' not in summary


def test_unusable_targets(tmp_path):
    source = tmp_path / 'a.json'
    source.write_text('read')
    (tmp_path / 'folder.json').mkdir()
    (tmp_path / 'link.json').symlink_to(source)
    table = LabelTable(str(source), ('cat',), ['a.jpg'], [(0,)])
    for name in ('a.json', 'link.json', 'folder/../a.json'):
        with pytest.raises(UsageError, match='is the file that is read: name another'):
            convert(table, tmp_path / name)
    for name in ('folder.json', 'a.txt', 'a'):
        with pytest.raises(UsageError, match=r'is no JSON file: name one such as'):
            convert(table, tmp_path / name)
    assert source.read_text() == 'read'
    assert check_out(tmp_path / 'b.json', source) == tmp_path / 'b.json'
    assert sorted(one.name for one in tmp_path.iterdir()) == ['a.json', 'folder.json', 'link.json']
