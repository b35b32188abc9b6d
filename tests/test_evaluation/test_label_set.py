# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.evaluation.functional import (
    count_repeats,
    labels_to_sets,
    repeats_label,
    topk_labels,
)


def test_labels_to_sets_ignores_order_and_repeats():
    sets = labels_to_sets([torch.tensor([2, 0, 2]), [], [1]], 3)
    assert sets.dtype == torch.bool
    assert sets.tolist() == [[True, False, True], [False] * 3, [False, True, False]]


@pytest.mark.parametrize('label', [3, -1])
def test_labels_to_sets_refuses_what_is_no_class(label):
    with pytest.raises(ValueError, match=rf'label {label} is not in \[0, 3\)'):
        labels_to_sets([[0], [1, label]], 3)


def test_topk_labels_is_ordered_and_breaks_ties_by_id():
    scores = torch.tensor([[0.1, 0.7, 0.7, 0.9], [0.5, 0.5, 0.5, 0.5]])
    assert topk_labels(scores, 3).tolist() == [[3, 1, 2], [0, 1, 2]]
    assert topk_labels(scores[0], 1).tolist() == [3]
    assert topk_labels(torch.zeros(3, 1000), 5).tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize('k', [0, 5])
def test_topk_labels_refuses_an_impossible_k(k):
    with pytest.raises(ValueError, match=f'topk is {k}'):
        topk_labels(torch.rand(2, 4), k)


@pytest.mark.parametrize(
    ('path', 'expected'), [([], False), ([1, 2, 3], False), ([1, 2, 1], True), ([0, 0], True)]
)
def test_repeats_label(path, expected):
    assert repeats_label(path) is expected
    assert repeats_label(torch.tensor(path, dtype=torch.long)) is expected


def test_count_repeats():
    assert [count_repeats(path) for path in ([], [3, 1], [1, 2, 1], [0, 0, 0, 5, 5])] == [
        0,
        0,
        1,
        3,
    ]
