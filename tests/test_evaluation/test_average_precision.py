# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from label_cases import random_cases
from sklearn import config_context
from sklearn.metrics import average_precision_score

from cnnrnn_mm.evaluation.functional import (
    AP_METHODS,
    average_precision,
    mean_over_classes,
    rank_classes,
    ranked_average_precision,
)


def one_class(scores, labels, ignored=None, method='11points'):
    """AP of a single class."""
    columns = (torch.tensor(column).unsqueeze(1) for column in (scores, labels))
    hidden = None if ignored is None else torch.tensor(ignored).unsqueeze(1)
    return average_precision(*columns, hidden, method).item()


def curve(scores, labels):
    """Recall and precision at each distinct score, one by one, as whole numbers and as ratios."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        chosen = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        points.append((sum(chosen), sum(chosen) / len(chosen)))
    return points


def reference_11_points(scores, labels):
    points, total = curve(scores, labels), sum(labels)
    best = [max((p for hits, p in points if 10 * hits >= r * total), default=0) for r in range(11)]
    return 100 * sum(best) / 11


def reference_interpolated(scores, labels):
    points, total, area, before = curve(scores, labels), sum(labels), 0.0, 0
    for place, (hits, _) in enumerate(points):
        area += (hits - before) / total * max(p for _, p in points[place:])
        before = hits
    return 100 * area


@pytest.mark.filterwarnings('ignore:No positive class found')
def test_equals_scikit_learn_and_loops():
    cases = list(random_cases())
    # scikit-learn is asked once: images behind all others, and not true, fill short columns.
    short = [((0, 8 - len(case.scores)), (0, 0)) for case in cases]
    scores = [
        np.pad(c.scores, pad, constant_values=-1) for c, pad in zip(cases, short, strict=True)
    ]
    target = [np.pad(c.target, pad) for c, pad in zip(cases, short, strict=True)]
    with config_context(assume_finite=True, skip_parameter_validation=True):  # faster
        areas = 100 * average_precision_score(np.hstack(target), np.hstack(scores), average=None)
    first = 0
    for case in cases:
        scores, target = torch.from_numpy(case.scores), torch.from_numpy(case.target)
        got = ranked_average_precision(rank_classes(scores, target), torch.ones(len(scores), 1))
        area = areas[first : first + target.shape[1]]
        first += target.shape[1]
        for values in got.values():
            np.testing.assert_array_equal(values.isnan()[:, 0].numpy(), ~case.target.any(0))
        for place in np.flatnonzero(case.target.any(0)):
            columns = case.scores[:, place].tolist(), case.target[:, place].tolist()
            expected = {
                'area': area[place],
                '11points': reference_11_points(*columns),
                'interpolated': reference_interpolated(*columns),
            }
            values = {method: got[method][place].item() for method in AP_METHODS}
            assert values == pytest.approx(expected, abs=1e-6)
        present = case.target.any(0)  # scikit-learn gives 0 for the others
        assert mean_over_classes(got['area']).item() == pytest.approx(area.mean(), abs=1e-6)
        expected = area[present].mean() if present.any() else 0
        leaving_out = mean_over_classes(got['area'], skip_absent=True).item()
        assert leaving_out == pytest.approx(expected, abs=1e-6)


def test_11_points_of_a_perfect_ranking():
    # P = 1 at R = 1/2 and at R = 1: the best P is 1 at all 11 points
    assert one_class([0.9, 0.8, 0.1, 0.05], [True, True, False, False]) == 100


def test_11_points_by_hand():
    # ranking T F T F. At the true ones R = 1/2, P = 1/1 and R = 1, P = 2/3.
    # r = 0, .1, ..., .5: the best P at R >= r is 1 (6 points); r = .6, ..., 1: 2/3 (5 points).
    # (6 * 1 + 5 * 2/3) / 11 = (28/3) / 11 = 28/33
    assert one_class([0.9, 0.8, 0.7, 0.6], [True, False, True, False]) == pytest.approx(2800 / 33)
    # the area is 1/2 * 1 + 1/2 * 2/3 = 5/6; it is the interpolated one too, since P falls
    for method in ('area', 'interpolated'):
        value = one_class([0.9, 0.8, 0.7, 0.6], [True, False, True, False], method=method)
        assert value == pytest.approx(500 / 6)


def test_11_points_where_recall_is_three_tenths():
    # 10 true ones, ranking TTT FFFF TTTTTTT. At R = 3/10 P = 3/3; after that P rises to 10/14 at
    # R = 1. r = 0, .1, .2, .3: 1 (4 points, .3 among them, though 3/10 < 0.1 + 0.1 + 0.1 for a
    # computer); r = .4, ..., 1: 10/14 (7 points). (4 + 7 * 5/7) / 11 = 9/11
    labels = [True] * 3 + [False] * 4 + [True] * 7
    scores = [1 - place / 20 for place in range(14)]
    assert one_class(scores, labels) == pytest.approx(900 / 11)
    # area: 3/10 * 1 + 1/10 * (4/8 + 5/9 + 6/10 + 7/11 + 8/12 + 9/13 + 10/14)
    expected = 30 + 10 * (4 / 8 + 5 / 9 + 6 / 10 + 7 / 11 + 8 / 12 + 9 / 13 + 10 / 14)
    assert one_class(scores, labels, method='area') == pytest.approx(expected)
    # interpolated: P is lifted to 10/14 behind R = 3/10: 3/10 + 7/10 * 5/7 = 4/5
    assert one_class(scores, labels, method='interpolated') == pytest.approx(80)


def test_11_points_with_difficult_objects():
    # ranking D T F D T, D: difficult objects only. Without the D it is T F T: 28/33 as above.
    # Were D a mistake: F T F F T, R = 1/2 at P = 1/2, R = 1 at P = 2/5: (6 * 1/2 + 5 * 2/5) / 11
    # = 5/11. Were it a hit: T T F T T, P = 1, 1, 3/4, 4/5 at R = 1/4, 1/2, 3/4, 1:
    # (6 * 1 + 5 * 4/5) / 11 = 10/11.
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    labels, difficult = [False, True, False, False, True], [True, False, False, True, False]
    assert one_class(scores, labels, difficult) == pytest.approx(2800 / 33)
    assert one_class(scores, labels) == pytest.approx(500 / 11)
    as_hits = [label or hidden for label, hidden in zip(labels, difficult, strict=True)]
    assert one_class(scores, as_hits) == pytest.approx(1000 / 11)


@pytest.mark.parametrize('method', AP_METHODS)
def test_without_positives_there_is_no_value(method):
    # class 0: P = 1 at R = 1, so 100; class 1 has no image; the only images of class 2 are
    # difficult, whether they are marked as true or not
    scores = torch.tensor([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
    target = torch.tensor([[True, False, False], [False, False, True]])
    ignored = torch.tensor([[False, False, True], [False, False, True]])
    values = average_precision(scores, target, ignored, method)
    assert values[0] == 100 and values[1:].isnan().all()
    assert mean_over_classes(values) == pytest.approx(100 / 3)  # counted as 0
    assert mean_over_classes(values, skip_absent=True) == 100  # left out
    assert mean_over_classes(values[1:], skip_absent=True) == 0


def test_images_of_equal_score_come_in_together():
    # one tie T F F F: the only point is R = 1 at P = 1/4, whatever the order
    for place in range(4):
        labels = [place == number for number in range(4)]
        for method in AP_METHODS:
            assert one_class([0.5] * 4, labels, method=method) == 25
    # a tie of T and F, then T: R = 1/2 at P = 1/2, R = 1 at P = 2/3. The best P is 2/3 everywhere;
    # the area is 1/2 * 1/2 + 1/2 * 2/3 = 7/12
    for labels in ([True, False, True], [False, True, True]):
        assert one_class([0.9, 0.9, 0.5], labels) == pytest.approx(200 / 3)
        assert one_class([0.9, 0.9, 0.5], labels, method='interpolated') == pytest.approx(200 / 3)
        assert one_class([0.9, 0.9, 0.5], labels, method='area') == pytest.approx(700 / 12)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from(AP_METHODS))
def test_invariances(seed, method):
    """The order of the images and the scale of the scores change nothing; ignored is removed."""
    torch.manual_seed(seed)
    scores, target = torch.randint(5, (9, 3)).float(), torch.rand(9, 3) > 0.6
    ignored = torch.rand(9, 3) > 0.7
    values = average_precision(scores, target, ignored, method)
    order = torch.randperm(9)
    again = average_precision(scores[order], target[order], ignored[order], method)
    torch.testing.assert_close(again, values, rtol=0, atol=0, equal_nan=True)
    again = average_precision(scores.double().exp() - 70, target, ignored, method)
    torch.testing.assert_close(again, values, rtol=0, atol=0, equal_nan=True)
    for place in range(3):
        kept = ~ignored[:, place]
        if kept.any():
            alone = average_precision(
                scores[kept, place].unsqueeze(1), target[kept, place].unsqueeze(1), method=method
            )
            torch.testing.assert_close(alone[0], values[place], equal_nan=True)


def test_counting_images_more_than_once_equals_repeating_them():
    rng = np.random.default_rng(0)
    for case in random_cases(50):
        scores, target = torch.from_numpy(case.scores), torch.from_numpy(case.target)
        times = rng.integers(0, 4, (len(scores), 3))
        times[0] += times.sum(0) == 0
        weights = torch.tensor(times, dtype=torch.float32)
        together = ranked_average_precision(list(rank_classes(scores, target)), weights)
        for column in range(3):
            rows = np.repeat(np.arange(len(scores)), times[:, column])
            ranking = rank_classes(scores[rows], target[rows])
            alone = ranked_average_precision(ranking, torch.ones(len(rows), 1))
            for method in AP_METHODS:
                torch.testing.assert_close(
                    together[method][:, column], alone[method][:, 0], equal_nan=True
                )


def test_extreme_scores_are_ranked():
    infinite = [float('inf'), 0.0, float('-inf'), float('-inf')]
    assert one_class(infinite, [False, True, True, False], method='area') == pytest.approx(50)


def test_refuses_what_can_not_be_ranked():
    scores, target = torch.rand(3, 2), torch.zeros(3, 2, dtype=torch.bool)
    with pytest.raises(TypeError, match=r'target is torch\.int64'):
        average_precision(scores, target.long())
    with pytest.raises(ValueError, match='one shape'):
        average_precision(scores, target[:2])
    with pytest.raises(ValueError, match='at least one image'):
        average_precision(scores[:0], target[:0])
    with pytest.raises(ValueError, match='NaN'):
        average_precision(torch.full((3, 2), torch.nan), target)
    with pytest.raises(ValueError, match=r"unknown methods \['voc'\]"):
        average_precision(scores, target, method='voc')
