# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    jaccard_score,
    precision_recall_fscore_support,
)

from cnnrnn_mm.evaluation.functional import (
    class_average_scores,
    class_scores,
    count_labels,
    example_scores,
    label_set_scores,
    labels_to_sets,
    overall_scores,
    repeats_label,
    set_size_scores,
    topk_labels,
)

EMPTY = np.zeros((3, 4), dtype=bool)
FULL = np.ones((3, 4), dtype=bool)


@st.composite
def pred_and_target(draw):
    """Two boolean matrices (N, C), with empty rows and empty columns more often than by chance."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(2, 6)))  # scikit-learn needs C > 1
    pair = []
    for _ in range(2):
        matrix = draw(arrays(bool, shape))
        matrix[draw(arrays(bool, shape[0], elements=st.sampled_from([False, False, True])))] = False
        matrix[:, draw(arrays(bool, shape[1], elements=st.sampled_from([False, True])))] &= draw(
            st.booleans()
        )
        pair.append(matrix)
    return tuple(pair)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pred_and_target())
@example((EMPTY, EMPTY))
@example((EMPTY, FULL))
@example((FULL, EMPTY))
@example((FULL, FULL))
def test_equals_scikit_learn(pair):
    pred, target = pair
    scores = label_set_scores(torch.from_numpy(pred), torch.from_numpy(target))
    counts = count_labels(torch.from_numpy(pred), torch.from_numpy(target))
    pred, target = pred.astype(int), target.astype(int)

    by_class = precision_recall_fscore_support(target, pred, average=None, zero_division=0)
    for ours, theirs in zip(class_scores(counts), by_class[:3], strict=True):
        np.testing.assert_allclose(ours.numpy(), 100 * theirs, atol=1e-6)
    precision, recall, f1 = (values.mean() for values in by_class[:3])
    expected = {'C-P': precision, 'C-R': recall, 'mean-class-F1': f1}
    expected['C-F1'] = 2 * precision * recall / max(precision + recall, 1e-12)
    overall = precision_recall_fscore_support(target, pred, average='micro', zero_division=0)
    expected.update(zip(('O-P', 'O-R', 'O-F1'), overall[:3], strict=True))
    expected['example-F1'] = f1_score(target, pred, average='samples', zero_division=1)
    expected['Jaccard'] = jaccard_score(target, pred, average='samples', zero_division=1)
    expected['exact-match'] = accuracy_score(target, pred)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(100 * value, abs=1e-6), name
    assert scores['set-size'] == pytest.approx(pred.sum(1).mean())
    assert scores['set-size-error'] == pytest.approx(np.abs(pred.sum(1) - target.sum(1)).mean())


@settings(max_examples=100, deadline=None)
@given(pred_and_target())
def test_skip_absent_equals_scikit_learn_on_the_classes_with_positives(pair):
    pred, target = pair
    counts = count_labels(torch.from_numpy(pred), torch.from_numpy(target))
    scores = class_average_scores(counts, skip_absent=True)
    present = np.flatnonzero(target.any(0))
    expected = np.zeros(3)
    if present.size:
        expected = precision_recall_fscore_support(
            target.astype(int), pred.astype(int), average='macro', labels=present, zero_division=0
        )[:3]
    got = [scores['C-P'], scores['C-R'], scores['mean-class-F1']]
    np.testing.assert_allclose(got, 100 * np.array(expected, dtype=float), atol=1e-6)


def test_f1_of_the_means_is_not_the_mean_of_f1():
    # class 0: P = 1, R = 1/2, F1 = 2/3; class 1: P = 1/2, R = 1, F1 = 2/3
    pred = labels_to_sets([[0], [1], [1], []], 2)
    target = labels_to_sets([[0], [1], [], [0]], 2)
    scores = class_average_scores(count_labels(pred, target))
    assert scores == pytest.approx({'C-P': 75, 'C-R': 75, 'C-F1': 75, 'mean-class-F1': 200 / 3})


def test_overall_pools_decisions_and_class_scores_do_not():
    # class 0: 3 of 3 right; class 1: 0 of 1 right and 1 missed
    pred = labels_to_sets([[0], [0], [0, 1], []], 2)
    target = labels_to_sets([[0], [0], [0], [1]], 2)
    counts = count_labels(pred, target)
    assert [count.tolist() for count in counts] == [[3, 0], [0, 1], [0, 1]]
    assert overall_scores(counts) == pytest.approx({'O-P': 75, 'O-R': 75, 'O-F1': 75})
    assert class_average_scores(counts)['C-P'] == 50


def test_precision_and_recall_are_not_swapped():
    counts = count_labels(labels_to_sets([[0, 1, 2, 3]], 4), labels_to_sets([[0]], 4))
    assert overall_scores(counts) == pytest.approx({'O-P': 25, 'O-R': 100, 'O-F1': 40})
    assert class_average_scores(counts)['C-R'] == 25
    assert class_average_scores(counts, skip_absent=True)['C-R'] == 100


def test_example_scores_by_hand():
    # F1 2/3, 1 (both empty), 0, 0; Jaccard 1/2, 1, 0, 0
    pred = labels_to_sets([[0, 1], [], [2], []], 3)
    target = labels_to_sets([[1], [], [], [0]], 3)
    assert example_scores(pred, target) == pytest.approx(
        {'example-F1': 100 * 5 / 12, 'Jaccard': 37.5, 'exact-match': 25}
    )


def test_set_size_error_does_not_cancel():
    pred, target = labels_to_sets([[0, 1, 2], []], 3), labels_to_sets([[0], [0, 1]], 3)
    assert set_size_scores(pred, target) == {
        'set-size': 1.5,
        'gt-set-size': 1.5,
        'set-size-error': 2.0,
    }


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


def test_counts_refuse_what_is_not_a_pair_of_boolean_matrices():
    good = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r'target is torch\.int64'):
        count_labels(good, good.long())
    for bad in (good[:1], good[0], good[:, :2]):
        with pytest.raises(ValueError, match='one shape'):
            count_labels(good, bad)
    with pytest.raises(ValueError, match='at least one image'):
        count_labels(good[:0], good[:0])
