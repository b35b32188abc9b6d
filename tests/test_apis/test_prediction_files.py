# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import csv
import json

import pytest

from cnnrnn_mm.apis.prediction_files import COLUMNS, check_prediction_file, write_predictions
from cnnrnn_mm.datasets import CsvMultiLabel
from cnnrnn_mm.errors import UsageError


def record(photo='a.jpg', labels=('dog', '猫'), **more):
    return {
        'photo': photo,
        'size': [40, 30],
        'labels': list(labels),
        'label_ids': list(range(len(labels))),
        'path': list(labels),
        'step_probs': [0.5, 0.25, 1.0],
        'path_prob': 0.125,
        'set_prob': [0.125, 0.25],
        'proven': True,
        'gap': 0.0,
        'alternatives': [],
        'marginals': [{'label': 'dog', 'id': 0, 'score': 0.123456789, 'lower': 0, 'upper': 1}],
        **more,
    }


RECORDS = [
    record(),
    {'photo': 'broken, "really".jpg', 'error': 'photo is empty'},
    record('b.jpg', ()),
    record(None, ['dog'], step_probs=None, path_prob=None, set_prob=None, proven=None, gap=None),
]


def test_json_lines(tmp_path):
    write_predictions(tmp_path / 'deep' / 'a.jsonl', iter(RECORDS))
    lines = (tmp_path / 'deep' / 'a.jsonl').read_text(encoding='utf-8').splitlines()
    assert [json.loads(line) for line in lines] == RECORDS
    assert '猫' in lines[0]
    assert [one.name for one in (tmp_path / 'deep').iterdir()] == ['a.jsonl']


def test_csv(tmp_path):
    write_predictions(tmp_path / 'a.csv', RECORDS)
    with open(tmp_path / 'a.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0] == {
        'path': 'a.jpg',
        'labels': 'dog;猫',
        'step_probs': '0.5;0.25;1',
        'path_prob': '0.125',
        'set_prob_lower': '0.125',
        'set_prob_upper': '0.25',
        'proven': 'True',
        'gap': '0.0',
        'marginals': 'dog=0.123457',
        'width': '40',
        'height': '30',
        'error': '',
    }
    assert rows[1]['path'] == 'broken, "really".jpg'
    assert rows[1]['error'] == 'photo is empty'
    assert rows[1]['labels'] == rows[1]['path_prob'] == ''
    assert rows[2]['labels'] == ''
    assert (rows[3]['path'], rows[3]['path_prob'], rows[3]['step_probs']) == ('', '', '')


def test_a_csv_file_is_a_dataset(tmp_path):
    write_predictions(tmp_path / 'a.csv', [RECORDS[0], RECORDS[2]])
    dataset = CsvMultiLabel('a.csv', data_root=str(tmp_path))
    assert dataset.metainfo['classes'] == ('dog', '猫')
    assert [dataset.get_data_info(row)['gt_label'] for row in range(2)] == [[0, 1], []]


@pytest.mark.parametrize('name', ['a.jsonl', 'a.csv'])
def test_a_name_of_other_bytes(tmp_path, name):
    photo = b'caf\xe9.jpg'.decode('utf-8', 'surrogateescape')
    write_predictions(tmp_path / name, [record(photo)])
    text = (tmp_path / name).read_text(encoding='utf-8')
    assert r'caf\udce9.jpg' in text
    if name == 'a.jsonl':
        assert json.loads(text)['photo'] == photo


@pytest.mark.parametrize('name', ['a.jsonl', 'a.csv'])
def test_what_breaks_off_leaves_the_old_file(tmp_path, name):
    def broken():
        yield RECORDS[0]
        raise RuntimeError('the machine stopped')

    (tmp_path / name).write_text('old')
    with pytest.raises(RuntimeError, match='the machine stopped'):
        write_predictions(tmp_path / name, broken())
    assert (tmp_path / name).read_text() == 'old'
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_no_number_is_no_json(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_predictions(tmp_path / 'a.jsonl', [record(gap=float('nan'))])
    assert list(tmp_path.iterdir()) == []


def test_names_of_files(tmp_path):
    check_prediction_file('a.CSV', ['dog'])
    check_prediction_file('a.jsonl', ['dog; cat'])
    with pytest.raises(UsageError, match=r'a\.txt ends neither in \.jsonl nor in \.csv'):
        check_prediction_file('a.txt', ['dog'])
    with pytest.raises(UsageError, match=r"class 'dog; cat' holds a ';'.*write \.jsonl"):
        check_prediction_file('a.csv', ['bus', 'dog; cat'])


def test_a_place_that_can_not_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UsageError, match='cannot write'):
        write_predictions(tmp_path / 'file' / 'a.csv', RECORDS)
