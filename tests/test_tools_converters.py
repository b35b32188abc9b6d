# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/dataset_converters/``: what is written equals the dataset straight from the source."""

import json
import re
import sys

import pytest
from coco_files import annotation, instances, photo, write
from dataset_infos import infos
from mmpretrain.datasets import MultiLabelDataset
from tiny_run import ROOT

from cnnrnn_mm.datasets import CocoMultiLabel, CsvMultiLabel

TOOLS = ROOT / 'tools' / 'dataset_converters'
SPLIT = instances(
    [photo(9), photo(25), photo(30)],
    [
        annotation(1, 9, 18),
        annotation(2, 9, 1, box=(1, 2, 300, 200)),
        annotation(3, 25, 1, crowd=1),
    ],
)
TRAIN = 'path;labels\na.jpg;dog|person\nb.jpg;\nc.jpg;traffic light\n'
VAL = 'path;labels\nx.jpg;traffic light|dog\n'


@pytest.mark.parametrize(
    ('options', 'choice'),
    [
        ([], {}),
        (['--crowd', 'drop', '--empty', 'drop'], dict(crowd='drop', empty='drop')),
    ],
)
def test_coco(convert, tmp_path, options, choice):
    source = write(tmp_path / 'instances.json', SPLIT)
    out = tmp_path / 'out' / 'train2014.json'
    status, printed = convert('coco.py', source, '--out', out, *options)
    straight = CocoMultiLabel(str(source), data_prefix='train2014', **choice)
    assert status == 0 and re.search(rf'│ images +│ +{len(straight)} │', printed)
    assert infos(MultiLabelDataset(str(out), data_prefix='train2014')) == infos(straight)


def test_csv_of_two_splits(convert, tmp_path):
    train, val = tmp_path / 'train.csv', tmp_path / 'val.csv'
    train.write_text(TRAIN)
    val.write_text(VAL)
    layout = dict(separator='|', delimiter=';')
    options = ['--separator', '|', '--delimiter', ';']
    for source, more in ((train, []), (val, ['--classes-from', train])):
        out = tmp_path / f'{source.stem}.json'
        assert convert('csv_labels.py', source, '--out', out, *options, *more)[0] == 0
    for name, choice in (('train', {}), ('val', dict(classes_from=str(train)))):
        straight = CsvMultiLabel(str(tmp_path / f'{name}.csv'), **layout, **choice)
        assert infos(MultiLabelDataset(str(tmp_path / f'{name}.json'))) == infos(straight)
    assert infos(straight)[1][0]['gt_label'] == [0, 2]


def test_other_layouts_of_csv(convert, tmp_path):
    (tmp_path / 'bare.csv').write_bytes('a.jpg\tcafé\n'.encode('latin-1'))
    options = ['--no-header', '--encoding', 'latin-1', '--delimiter', '\\t']
    assert (
        convert('csv_labels.py', tmp_path / 'bare.csv', '--out', tmp_path / 'a.json', *options)[0]
        == 0
    )
    assert infos(MultiLabelDataset(str(tmp_path / 'a.json')))[0] == ['café']
    (tmp_path / 'marks.csv').write_text('file,dog,cat\na.jpg,0,1\n')
    (tmp_path / 'names.txt').write_text('cat\ndog\n')
    options = ['--one-hot', '--path-column', 'file', '--classes', tmp_path / 'names.txt']
    assert (
        convert('csv_labels.py', tmp_path / 'marks.csv', '--out', tmp_path / 'b.json', *options)[0]
        == 0
    )
    names, (only,) = infos(MultiLabelDataset(str(tmp_path / 'b.json')))
    assert names == ['cat', 'dog'] and only['gt_label'] == [0]


def test_json_is_checked_and_put_in_order(convert, tmp_path):
    entries = [{'img_path': 'a.jpg', 'gt_label': [2, 0]}, {'img_path': 'b.jpg', 'gt_label': []}]
    content = {'metainfo': {'classes': ['x', 'y', 'z']}, 'data_list': entries}
    source = write(tmp_path / 'a.json', content)
    (tmp_path / 'names.txt').write_text('bus\ncat\ndog\n')
    options = ['--classes', tmp_path / 'names.txt', '--drop-empty']
    assert convert('json_labels.py', source, '--out', tmp_path / 'b.json', *options)[0] == 0
    names, (only,) = infos(MultiLabelDataset(str(tmp_path / 'b.json')))
    assert names == ['bus', 'cat', 'dog'] and only['gt_label'] == [0, 2]
    assert json.loads(source.read_text()) == content


def test_errors_are_one_line_and_leave_nothing(convert, tmp_path):
    def only_line(*args):
        status, printed = convert(*args)
        assert status == 2 and printed.startswith('error: ') and printed.count('\n') == 1
        return printed

    wrong = instances([photo(9)], [annotation(1, 10, 1)])
    source = write(tmp_path / 'instances.json', wrong)
    (tmp_path / 'a.csv').write_text('path,labels\na.jpg,dog\na.jpg,cat\n')
    out = tmp_path / 'out.json'
    assert 'image_id 10' in only_line('coco.py', source, '--out', out)
    assert 'as line 2 and line 3' in only_line('csv_labels.py', tmp_path / 'a.csv', '--out', out)
    assert 'has no data_list' in only_line('json_labels.py', source, '--out', out)
    assert 'is the file that is read' in only_line('coco.py', source, '--out', source)
    assert sorted(one.name for one in tmp_path.iterdir()) == ['a.csv', 'instances.json']
    assert json.loads(source.read_text()) == wrong


def test_no_tool_hides_a_module_of_python():
    """A tool's folder is the first on Python's path: csv.py there would be everyone's csv."""
    assert not {path.stem for path in TOOLS.glob('*.py')} & set(sys.stdlib_module_names)
