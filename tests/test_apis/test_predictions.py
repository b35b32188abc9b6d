# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import math

import pytest
import torch
from mmpretrain.structures import DataSample

from cnnrnn_mm.apis.predictions import PATH_KEYS, make_record

CLASSES = ('bus', 'cat', 'dog')


def path_sample(**more):
    """Best path: dog, bus. Powers of two, so that their logarithms come back exactly enough."""
    sample = DataSample().set_pred_label(torch.tensor([2, 0]))
    sample.set_pred_score(torch.tensor([0.5, 0.25, 0.75]))
    fields = dict(
        pred_score_lower=torch.tensor([0.5, 0.125, 0.5]),
        pred_score_upper=torch.tensor([0.5, 0.5, 1.0]),
        pred_paths=[[2, 0], [2], []],
        pred_path_log_probs=torch.tensor([0.25, 0.125, 0.0625]).log(),
        pred_step_log_probs=torch.tensor([0.5, 0.5, 1.0]).log(),
        pred_proven=False,
        pred_gap=0.5,
        pred_set_log_prob_lower=math.log(0.25),
        pred_set_log_prob_upper=math.log(0.5),
    )
    for name, value in {**fields, **more}.items():
        if value is not None:
            sample.set_field(value, name)
    return sample


def test_all_of_a_path():
    record = make_record(path_sample(), CLASSES, 'a.jpg', (40, 30))
    near = pytest.approx
    assert record == {
        'photo': 'a.jpg',
        'size': [40, 30],
        'labels': ['dog', 'bus'],
        'label_ids': [2, 0],
        'path': ['dog', 'bus'],
        'step_probs': near([0.5, 0.5, 1.0]),
        'path_prob': near(0.25),
        'set_prob': near([0.25, 0.5]),
        'proven': False,
        'gap': 0.5,
        'alternatives': [
            {'labels': ['dog'], 'label_ids': [2], 'prob': near(0.125)},
            {'labels': [], 'label_ids': [], 'prob': near(0.0625)},
        ],
        'marginals': [
            {'label': 'dog', 'id': 2, 'score': 0.75, 'lower': 0.5, 'upper': 1.0},
            {'label': 'bus', 'id': 0, 'score': 0.5, 'lower': 0.5, 'upper': 0.5},
            {'label': 'cat', 'id': 1, 'score': 0.25, 'lower': 0.125, 'upper': 0.5},
        ],
    }
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_no_set_probability_and_no_bound():
    record = make_record(
        path_sample(pred_set_log_prob_lower=None, pred_gap=math.inf), CLASSES, None, (1, 1)
    )
    assert record['set_prob'] is None
    assert record['gap'] is None
    json.dumps(record, allow_nan=False)


def test_an_answer_that_is_not_the_best_path():
    sample = path_sample().set_pred_label(torch.tensor([1]))
    record = make_record(sample, CLASSES, None, (1, 1))
    assert record['labels'] == ['cat']
    assert record['path'] == ['dog', 'bus']
    assert len(record['step_probs']) == 3


def test_few_marginals():
    for most, names in ((0, []), (2, ['dog', 'bus']), (9, ['dog', 'bus', 'cat'])):
        record = make_record(path_sample(), CLASSES, None, (1, 1), num_marginals=most)
        assert [one['label'] for one in record['marginals']] == names


def test_regions():
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.75, 1.0]])
    record = make_record(path_sample(pred_label_regions=boxes), CLASSES, None, (1, 1))
    assert record['regions'] == [None, [0.25, 0.5, 0.75, 1.0]]


def test_a_head_without_paths():
    sample = DataSample().set_pred_label(torch.tensor([0, 2]))
    sample.set_pred_score(torch.tensor([0.5, 0.25, 0.75]))
    record = make_record(sample, CLASSES, None, (1, 1), in_order=False)
    assert record['labels'] == ['dog', 'bus']
    assert all(record[key] is None for key in PATH_KEYS)
    assert record['marginals'][0] == {
        'label': 'dog',
        'id': 2,
        'score': 0.75,
        'lower': None,
        'upper': None,
    }
    assert 'regions' not in record


def test_no_label():
    sample = path_sample(
        pred_paths=[[]],
        pred_path_log_probs=torch.tensor([0.0]),
        pred_step_log_probs=torch.tensor([0.0]),
    ).set_pred_label(torch.tensor([], dtype=torch.long))
    record = make_record(sample, CLASSES, None, (1, 1))
    assert (record['labels'], record['path'], record['step_probs']) == ([], [], [1.0])
    assert record['alternatives'] == []
