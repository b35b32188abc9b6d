# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import csv
import logging

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmpretrain.structures import DataSample

from cnnrnn_mm.evaluation.class_table_output import format_class_table, save_class_table
from cnnrnn_mm.evaluation.functional import class_table, labels_to_sets
from cnnrnn_mm.evaluation.metrics.class_table import ClassTable
from cnnrnn_mm.registry import METRICS

# class 0: predicted for images 0 and 1, true for 0: P 50, R 100, F1 66.7. Ranking T F F: AP 100.
# class 1: predicted for image 2, true for 0 and 2: P 100, R 50. Ranking 0.9 T, 0.5 F, 0.4 T: AP
# 1/2 * 1 + 1/2 * 2/3 = 83.3; 11 points (6 * 1 + 5 * 2/3) / 11 = 84.8. class 2: never either.
PRED, TRUE = [[0], [0], [1]], [[0, 1], [], [1]]
SCORES = torch.tensor([[0.8, 0.4, 0.1], [0.7, 0.5, 0.2], [0.1, 0.9, 0.3]])
NAMES = ('cat', 'dog [big], old', 'Tür')
EXPECTED = [
    (0, 'cat', 1, 2, 50, 100, 200 / 3, 100, 100),
    (1, 'dog [big], old', 2, 1, 100, 50, 200 / 3, 250 / 3, 2800 / 33),
    (2, 'Tür', 0, 0, 0, 0, 0, None, None),
]


def rows(scores=SCORES, names=NAMES, ignored=None):
    return class_table(labels_to_sets(PRED, 3), labels_to_sets(TRUE, 3), scores, ignored, names)


def make_samples(**meta):
    samples = []
    for pred, gt, score in zip(PRED, TRUE, SCORES, strict=True):
        sample = DataSample(metainfo=meta).set_pred_score(score)
        sample.set_pred_label(torch.tensor(pred, dtype=torch.long))
        samples.append(sample.set_gt_label(torch.tensor(gt, dtype=torch.long)))
    return samples


def evaluate(samples, classes=NAMES, **options):
    evaluator = Evaluator(metrics=ClassTable(**options))
    evaluator.dataset_meta = None if classes is None else dict(classes=classes)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


@pytest.fixture
def logged():
    """What is logged during a test."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    MMLogger._instance_dict.clear()
    logger = MMLogger.get_instance('test-class-table')
    logger.addHandler(Handler())
    yield lines
    MMLogger._instance_dict.clear()


def test_by_hand():
    for row, expected in zip(rows(), EXPECTED, strict=True):
        assert row == pytest.approx(expected) if row.ap is not None else row == expected
    assert [row.ap for row in rows(scores=None)] == [None] * 3


def test_ignored_labels_count_nowhere():
    # the mistaken prediction of class 0 for image 1 and the true label 1 of image 2 are gone
    ignored = labels_to_sets([[], [0], [1]], 3)
    first, second, _ = rows(ignored=ignored)
    assert first[2:] == (1, 1, 100, 100, 100, 100, 100)
    # class 1: true for image 0 alone, which has the second best score of 2
    assert second[2:7] == (1, 0, 0, 0, 0) and second.ap == 50


def test_text():
    text = format_class_table(rows(), 'title [x]')
    lines = text.splitlines()
    assert lines[0].strip() == 'title [x]'
    cells = [line.split() for line in lines]
    assert ['0', 'cat', '1', '2', '50.0', '100.0', '66.7', '100.0', '100.0'] in cells
    assert any('dog [big], old' in line for line in lines)
    assert ['2', 'Tür', '0', '0', '0.0', '0.0', '0.0', '-', '-'] in cells
    assert '\x1b' not in text
    without = format_class_table(rows(scores=None, names=None))
    assert 'class' not in without and 'AP' not in without and 'F1' in without


def test_long_names_and_many_classes_are_whole():
    name = 'a very ' * 12 + 'long name'
    many = class_table(*torch.zeros(2, 1, 300, dtype=torch.bool), names=[name] * 300)
    text = format_class_table(many)
    assert text.count(name) == 300


def test_file_is_read_back(tmp_path):
    path = tmp_path / 'new' / 'classes.csv'
    save_class_table(path, rows())
    with path.open(newline='', encoding='utf-8') as file:
        got = list(csv.DictReader(file))
    assert [row['name'] for row in got] == list(NAMES)
    assert [int(row['positives']) for row in got] == [1, 2, 0]
    assert float(got[1]['ap_11points']) == pytest.approx(2800 / 33, abs=1e-9)
    assert got[2]['ap'] == ''
    assert [one.name for one in path.parent.iterdir()] == ['classes.csv']


def test_metric_logs_and_writes(tmp_path, logged):
    path = tmp_path / 'classes.csv'
    path.write_text('old')
    assert evaluate(make_samples(), out_file_path=str(path)) == {}
    assert any('84.8' in one and 'Tür' in one for one in logged)
    assert 'predicted sets of 3 images' in ''.join(logged)
    assert path.read_text(encoding='utf-8').splitlines()[1].startswith('0,cat,1,2,50.0,100.0,')


def test_metric_without_log_and_names(tmp_path, logged):
    path = tmp_path / 'classes.csv'
    for classes in (None, ('one', 'two')):  # unknown, or those of another head
        evaluate(make_samples(), classes, out_file_path=str(path), log=False)
        assert path.read_text().splitlines()[1].startswith('0,,1,2,50.0')
    assert not logged


def test_topk_and_difficult(tmp_path):
    path = tmp_path / 'classes.csv'
    samples = make_samples(gt_label_difficult=[0])  # image 0 shows an easy one, too
    evaluate(samples, out_file_path=str(path), topk=1, ignore_difficult=True, log=False)
    with path.open(newline='') as file:
        first, second, _ = csv.DictReader(file)
    # the best labels are 0, 0, 1; class 0 is ignored for images 1 and 2
    assert (first['positives'], first['predicted'], first['precision']) == ('1', '1', '100.0')
    assert (second['positives'], second['predicted'], second['recall']) == ('2', '1', '50.0')


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(out_file_path='table.txt'), 'ends in .csv'), (dict(topk=0), 'topk is 0')],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ClassTable(**options)


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='cannot write .*classes.csv'):
        save_class_table(tmp_path / 'file' / 'classes.csv', rows())


def test_built_from_a_config():
    assert isinstance(METRICS.build(dict(type='ClassTable')), ClassTable)
