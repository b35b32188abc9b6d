# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Predictions beside the truth, and what is drawn and written of them."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from mmpretrain.datasets import MultiLabelDataset

from cnnrnn_mm.apis.result_figures import draw_area_recall, draw_class_scores
from cnnrnn_mm.apis.results import read_predictions, read_truth
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.visualization import class_score_bars

CLASSES = ['bus', 'cat', 'dog', 'person']
IMAGES = [
    dict(gt_label=[3, 1], gt_area={'3': 0.5, '1': 0.1}),
    dict(gt_label=[], gt_area={}),
    dict(gt_label=[1], gt_area={'1': 0.3}, gt_label_difficult=[0, 1]),
    dict(gt_label=[3], gt_area={'3': 1.0}),
]
PREDICTED = [[3], [2], [1, 0], [3]]


def build(folder, images=IMAGES, classes=CLASSES):
    data = [dict(img_path=f'{number}.jpg', **one) for number, one in enumerate(images)]
    metainfo = dict(classes=classes) if classes else {}
    path = folder / 'test.json'
    path.write_text(json.dumps(dict(metainfo=metainfo, data_list=data)))
    return MultiLabelDataset(ann_file=str(path), pipeline=[], test_mode=True)


def write(folder, predicted=PREDICTED, images=IMAGES, **changed):
    """What the test tool writes of these images."""
    content = [
        dict(
            img_path=f'{number}.jpg',
            gt_label=torch.tensor(one['gt_label'], dtype=torch.long),
            pred_label=torch.tensor(labels, dtype=torch.long),
            pred_score=torch.tensor([0.1, 0.9, 0.2, 0.8]),
        )
        for number, (labels, one) in enumerate(zip(predicted, images, strict=True))
    ]
    for key, value in changed.items():
        content[2][key] = value
    path = folder / 'results.pkl'
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def read_csv(path):
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture
def truth(tmp_path):
    return read_truth(build(tmp_path))


def test_truth(truth):
    assert truth.classes == tuple(CLASSES)
    assert truth.target.int().tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert truth.difficult.nonzero().tolist() == [[2, 0]]
    assert truth.areas == [{3: 0.5, 1: 0.1}, {}, {1: 0.3}, {3: 1.0}]


def test_truth_without_boxes_or_difficult_objects(tmp_path):
    truth = read_truth(build(tmp_path, [dict(gt_label=[0])]))
    assert truth.difficult is None and truth.areas is None


def test_mistakes_in_the_truth(tmp_path):
    with pytest.raises(UsageError, match='has no class names: set metainfo'):
        read_truth(build(tmp_path, classes=None))
    for area in (0, -0.1, 1.01, float('nan')):
        with pytest.raises(UsageError, match=r'gt_area of label 1 of image 0\.jpg is .*\(0, 1\]'):
            read_truth(build(tmp_path, [dict(gt_label=[1], gt_area={'1': area})]))
    with pytest.raises(UsageError, match=r'label 4 of image 0\.jpg is outside 0\.\.3'):
        read_truth(build(tmp_path, [dict(gt_label=[4])]))


def test_predictions(truth, tmp_path):
    path = write(tmp_path)
    found = read_predictions(path, truth)
    assert found.dtype == torch.bool
    assert [one.nonzero().flatten().tolist() for one in found] == [[3], [2], [0, 1], [3]]
    best = read_predictions(path, truth, topk=2)
    assert [one.nonzero().flatten().tolist() for one in best] == [[1, 3]] * 4


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(img_path='other.jpg'), r'image 2 is other\.jpg, that of .* is 2\.jpg'),
        (dict(gt_label=torch.tensor([2])), r'true labels of image 2 \(2\.jpg\) are \[2\]'),
        (dict(pred_label=None), 'image 2 has no pred_label: give --topk K'),
        (dict(pred_label=torch.tensor([4])), 'predicts labels outside the 4 classes'),
    ],
)
def test_results_of_another_split_are_refused(truth, tmp_path, changed, message):
    with pytest.raises(UsageError, match=message) as raised:
        read_predictions(write(tmp_path, **changed), truth)
    assert '\n' not in str(raised.value) and 'results.pkl' in str(raised.value)


def test_results_of_other_lengths_and_kinds_are_refused(truth, tmp_path):
    path = write(tmp_path, PREDICTED[:3], IMAGES[:3])
    with pytest.raises(UsageError, match=r'results\.pkl has 3 images, .* has 4'):
        read_predictions(path, truth)
    path = write(tmp_path, pred_score=torch.zeros(5))
    with pytest.raises(UsageError, match='image 2 has 5 scores, .* has 4 classes'):
        read_predictions(path, truth, topk=1)
    path.write_bytes(pickle.dumps({'multi-label/mAP': 3.0}))
    with pytest.raises(UsageError, match='holds a dict, not a list of predictions'):
        read_predictions(path, truth)


def test_same_path_written_in_another_way_is_the_same(truth, tmp_path):
    assert read_predictions(write(tmp_path, img_path='./2.jpg'), truth).any()


def test_class_scores_by_hand(truth, tmp_path):
    """person: 2 of 2 right, 2 of 2 found. cat: 1 of 1, 1 of 2. dog and bus: wrong once."""
    predicted = {'A': read_predictions(write(tmp_path), truth)}
    (tmp_path / 'class_scores_7.png').write_text('of an earlier result')
    written = draw_class_scores(truth, predicted, tmp_path)
    assert [path.name for path in written] == ['class_scores.png', 'class_scores.csv']
    assert not (tmp_path / 'class_scores_7.png').exists()
    rows = [
        (row['class'], int(row['images']), float(row['precision']), float(row['recall']))
        for row in read_csv(written[1])
    ]
    assert rows == [
        ('cat', 2, 100, 50),
        ('person', 2, 100, 100),
        ('bus', 0, 0, 0),
        ('dog', 0, 0, 0),
    ]
    assert [row['false_positive'] for row in read_csv(written[1])] == ['0', '0', '1', '1']


def test_area_recall_by_hand(truth, tmp_path):
    everything = torch.ones(4, 4, dtype=torch.bool)
    predicted = {'A': read_predictions(write(tmp_path), truth), 'all': everything}
    written = draw_area_recall(truth, predicted, tmp_path)
    assert all(path.is_file() for path in written)
    rows = read_csv(tmp_path / 'recall_by_class_area.csv')
    found = [(r['method'], r['class'], float(r['mean_area']), float(r['recall'])) for r in rows]
    assert found == [
        ('A', 'cat', pytest.approx(0.2), 50.0),
        ('A', 'person', pytest.approx(0.75), 100.0),
        ('all', 'cat', pytest.approx(0.2), 100.0),
        ('all', 'person', pytest.approx(0.75), 100.0),
    ]
    one, other = read_csv(tmp_path / 'recall_by_box_area.csv')  # four labels: a single bin
    assert (one['labels'], one['found'], one['recall']) == ('4', '3', '75.0')
    assert (float(one['area_low']), float(one['area_high'])) == (0.1, 1.0)
    assert (other['method'], other['recall']) == ('all', '100.0')


def test_areas_of_labels_that_are_not_true_do_not_count(tmp_path):
    images = [dict(gt_label=[1], gt_area={'0': 0.9, '1': 0.2})]
    truth = read_truth(build(tmp_path, images))
    draw_area_recall(truth, {'A': truth.target}, tmp_path)
    assert [row['class'] for row in read_csv(tmp_path / 'recall_by_class_area.csv')] == ['cat']


def test_many_classes_and_methods_make_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(class_score_bars, 'PAGE_ROWS', 12)
    rng = np.random.default_rng(0)
    images = [dict(gt_label=np.flatnonzero(rng.random(9) < 0.2).tolist()) for _ in range(20)]
    truth = read_truth(build(tmp_path, images, [f'class {i}' for i in range(9)]))
    predicted = {name: torch.from_numpy(rng.random((20, 9)) < 0.2) for name in 'AB'}
    names = [path.name for path in draw_class_scores(truth, predicted, tmp_path)]
    assert names == [*(f'class_scores_{page}.png' for page in (1, 2)), 'class_scores.csv']
    rows = read_csv(tmp_path / 'class_scores.csv')
    assert len(rows) == 18
    for row in rows:
        pred = predicted[row['method']][:, int(row['class_id'])]
        right = int((pred & truth.target[:, int(row['class_id'])]).sum())
        assert int(row['true_positive']) == right
        assert float(row['precision']) == pytest.approx(
            100 * right / max(int(pred.sum()), 1), abs=1e-3
        )
