# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import itertools

import numpy as np
import pytest
import torch
from label_cases import random_cases
from sklearn.metrics import (
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
    label_set_statistic,
    labels_to_sets,
    overall_scores,
    set_size_scores,
)


def as_floats(scores):
    return {name: value.item() for name, value in scores.items()}


EMPTY = np.zeros((3, 4), dtype=bool)


def test_equals_scikit_learn():
    """It is asked for the columns of all splits at once: of classes, of images, of whole splits.

    Rows without any label fill short columns, and count nowhere.
    """
    cases = [(case.pred, case.target) for case in random_cases()]
    cases += itertools.product((EMPTY, ~EMPTY), repeat=2)

    def columns(shape):
        """Matrices (rows, columns of all cases) of 0 and 1, of predictions and of truths."""
        pairs = [[shape(one) for one in case] for case in cases]
        rows = max(len(pred) for pred, _ in pairs)
        padded = [[np.pad(one, ((0, rows - len(one)), (0, 0))) for one in pair] for pair in pairs]
        pred, target = (np.hstack(side).astype(int) for side in zip(*padded, strict=True))
        return target, pred

    options = dict(average=None, zero_division=0)
    of_classes = precision_recall_fscore_support(*columns(np.asarray), **options)[:3]
    of_splits = precision_recall_fscore_support(*columns(lambda one: one.reshape(-1, 1)), **options)
    options = dict(average=None, zero_division=1)
    f1_of_images = f1_score(*columns(np.transpose), **options)
    jaccard_of_images = jaccard_score(*columns(np.transpose), **options)

    classes = images = 0
    for number, (pred, target) in enumerate(cases):
        tensors = torch.from_numpy(pred), torch.from_numpy(target)
        scores, counts = label_set_scores(*tensors), count_labels(*tensors)
        here = [values[classes : classes + pred.shape[1]] for values in of_classes]
        classes += pred.shape[1]
        for ours, theirs in zip(class_scores(counts), here, strict=True):
            np.testing.assert_allclose(ours.numpy(), 100 * theirs, atol=1e-6)
        precision, recall, f1 = (values.mean() for values in here)
        expected = {'C-P': precision, 'C-R': recall, 'mean-class-F1': f1}
        expected['C-F1'] = 2 * precision * recall / max(precision + recall, 1e-12)
        for name, values in zip(('O-P', 'O-R', 'O-F1'), of_splits[:3], strict=True):
            expected[name] = values[number]
        expected['example-F1'] = f1_of_images[images : images + len(pred)].mean()
        expected['Jaccard'] = jaccard_of_images[images : images + len(pred)].mean()
        images += len(pred)
        expected['exact-match'] = (pred == target).all(1).mean()
        for name, value in expected.items():
            assert scores[name] == pytest.approx(100 * value, abs=1e-6), name
        assert scores['set-size'] == pytest.approx(pred.sum(1).mean())
        assert scores['gt-set-size'] == pytest.approx(target.sum(1).mean())
        sizes = np.abs(pred.sum(1) - target.sum(1))
        assert scores['set-size-error'] == pytest.approx(sizes.mean())

        skipping = class_average_scores(counts, skip_absent=True)
        kept = [values[target.any(0)] for values in here]
        for name, values in zip(('C-P', 'C-R', 'mean-class-F1'), kept, strict=True):
            expected = 100 * values.mean() if values.size else 0
            assert skipping[name].item() == pytest.approx(expected, abs=1e-6), name


def test_f1_of_the_means_is_not_the_mean_of_f1():
    # class 0: P = 1, R = 1/2, F1 = 2/3; class 1: P = 1/2, R = 1, F1 = 2/3
    pred = labels_to_sets([[0], [1], [1], []], 2)
    target = labels_to_sets([[0], [1], [], [0]], 2)
    scores = class_average_scores(count_labels(pred, target))
    expected = {'C-P': 75, 'C-R': 75, 'C-F1': 75, 'mean-class-F1': 200 / 3}
    assert as_floats(scores) == pytest.approx(expected)


def test_overall_pools_decisions_and_class_scores_do_not():
    # class 0: 3 of 3 right; class 1: 0 of 1 right and 1 missed
    pred = labels_to_sets([[0], [0], [0, 1], []], 2)
    target = labels_to_sets([[0], [0], [0], [1]], 2)
    counts = count_labels(pred, target)
    assert [count.tolist() for count in counts] == [[3, 0], [0, 1], [0, 1]]
    assert as_floats(overall_scores(counts)) == pytest.approx({'O-P': 75, 'O-R': 75, 'O-F1': 75})
    assert class_average_scores(counts)['C-P'] == 50


def test_precision_and_recall_are_not_swapped():
    counts = count_labels(labels_to_sets([[0, 1, 2, 3]], 4), labels_to_sets([[0]], 4))
    assert as_floats(overall_scores(counts)) == pytest.approx({'O-P': 25, 'O-R': 100, 'O-F1': 40})
    assert class_average_scores(counts)['C-R'] == 25
    assert class_average_scores(counts, skip_absent=True)['C-R'] == 100


def test_example_scores_by_hand():
    pred = labels_to_sets([[0, 1], [], [2], []], 3)  # the second pair: both empty
    target = labels_to_sets([[1], [], [], [0]], 3)
    scores = example_scores(pred, target)
    assert scores['example-F1'].tolist() == pytest.approx([200 / 3, 100, 0, 0])
    assert scores['Jaccard'].tolist() == pytest.approx([50, 100, 0, 0])
    assert scores['exact-match'].tolist() == [0, 100, 0, 0]
    means = label_set_scores(pred, target)
    assert means['example-F1'] == pytest.approx(100 * 5 / 12)
    assert means['Jaccard'] == 37.5 and means['exact-match'] == 25


def test_set_size_error_does_not_cancel():
    pred, target = labels_to_sets([[0, 1, 2], []], 3), labels_to_sets([[0], [0, 1]], 3)
    sizes = {name: values.tolist() for name, values in set_size_scores(pred, target).items()}
    assert sizes == {'set-size': [3, 0], 'gt-set-size': [1, 2], 'set-size-error': [2, 2]}
    means = label_set_scores(pred, target)
    assert means['set-size'] == means['gt-set-size'] == 1.5
    assert means['set-size-error'] == 2


@pytest.mark.parametrize('skip_absent', [False, True])
def test_counting_images_more_than_once_equals_repeating_them(skip_absent):
    rng = np.random.default_rng(0)
    for case in random_cases(50):
        times = rng.integers(0, 4, len(case.pred))
        times[0] += times.sum() == 0
        rows = np.repeat(np.arange(len(times)), times)
        pred, target = torch.from_numpy(case.pred), torch.from_numpy(case.target)
        lengths = pred.sum(1) + torch.arange(len(pred))  # as if image n repeated n labels
        statistic = label_set_statistic(
            pred, target, torch.arange(len(pred)), lengths, skip_absent=skip_absent
        )
        # The mean over images divides by N, which the weights of a resample sum to.
        weights = torch.tensor(times * len(times) / times.sum()).unsqueeze(1)
        counts = torch.tensor(times, dtype=torch.float64).unsqueeze(1)
        of_images = {*example_scores(pred, target), *set_size_scores(pred, target)}
        got = {
            name: value.item() if name in of_images else statistic(counts)[name].item()
            for name, value in statistic(weights).items()
        }
        expected = label_set_scores(pred[rows], target[rows], skip_absent=skip_absent)
        expected['repeated'] = 100 * (rows > 0).mean()
        labels = lengths[rows].sum().item()
        expected['repeated-labels'] = 100 * rows.sum() / labels if labels else 0
        got['repeated'] = statistic(weights)['repeated'].item()
        assert got == pytest.approx(expected, abs=1e-9)


def test_counts_refuse_what_is_not_a_pair_of_boolean_matrices():
    good = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r'target is torch\.int64'):
        count_labels(good, good.long())
    for bad in (good[:1], good[0], good[:, :2]):
        with pytest.raises(ValueError, match='one shape'):
            count_labels(good, bad)
    with pytest.raises(ValueError, match='at least one image'):
        count_labels(good[:0], good[:0])


def test_repeats_and_lengths_come_together():
    sets = torch.ones(2, 3, dtype=torch.bool)
    counts = torch.tensor([1, 0])
    for given in (dict(repeats=counts), dict(lengths=counts)):
        with pytest.raises(ValueError, match='give both or neither'):
            label_set_statistic(sets, sets, **given)
