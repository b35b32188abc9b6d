# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from scipy import stats

from cnnrnn_mm.datasets.statistics import co_occurrence, label_matrix, label_pairs, top_pairs


def random_together(seed=0, num_images=400, shares=(0.5, 0.3, 0.1, 0.02, 0.0, 0.3)):
    shown = np.random.default_rng(seed).random((num_images, len(shares))) < shares
    labels = [np.flatnonzero(one) for one in shown]
    return co_occurrence(label_matrix(labels, len(shares))), num_images


def rows(pairs):
    return {(a, b): i for i, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True))}


def test_a_case_by_hand():
    """10 images: a in 5, b in 4, both in 3; c nowhere."""
    together = np.array([[5, 3, 0], [3, 4, 0], [0, 0, 0]])
    pairs = label_pairs(together, 10)
    assert list(rows(pairs)) == [(0, 1)]
    (values,) = zip(*pairs, strict=True)
    assert values[:7] == pytest.approx((0, 1, 3, 2.0, 0.6, 0.75, 1.5))
    # Of b's 4 images 3 or more have a, with probability 1/2 each: 5/16; doubled; one pair.
    assert values[7] == pytest.approx(10 / 16)


def test_each_pair_comes_once_with_the_more_frequent_class_first():
    together, num_images = random_together()
    pairs, counts = label_pairs(together, num_images), together.diagonal()
    assert counts[4] == 0
    assert {frozenset(pair) for pair in rows(pairs)} == {
        frozenset((a, b)) for a in range(6) for b in range(a) if 4 not in (a, b)
    }
    assert (counts[pairs.first] >= counts[pairs.second]).all()
    for index in range(len(pairs.first)):
        a, b = pairs.first[index], pairs.second[index]
        assert pairs.both[index] == together[a, b]
        assert pairs.second_given_first[index] == together[a, b] / counts[a]
        assert pairs.first_given_second[index] == together[a, b] / counts[b]
        assert pairs.lift[index] == pytest.approx(
            together[a, b] * num_images / counts[a] / counts[b]
        )


def test_false_discovery_rate_is_that_of_scipy_on_exact_binomial_tests():
    together, num_images = random_together(seed=1)
    pairs, counts = label_pairs(together, num_images), together.diagonal()
    p_values = []
    for a, b, both in zip(pairs.first, pairs.second, pairs.both, strict=True):
        tails = [
            stats.binomtest(int(both), int(counts[b]), counts[a] / num_images, kind).pvalue
            for kind in ('less', 'greater')
        ]
        p_values.append(min(1.0, 2 * min(tails)))
    expected = stats.false_discovery_control(p_values, method='by')
    np.testing.assert_allclose(pairs.q_value, expected, rtol=1e-9)


def test_no_pair_of_independent_labels_is_sure_and_planted_ones_are():
    rng = np.random.default_rng(0)
    shown = rng.random((3000, 40)) < rng.uniform(0.01, 0.4, 40)
    shown[:, 1] = shown[:, 0] & (rng.random(3000) < 0.9)  # comes with label 0 alone
    shown[:, 2] = ~shown[:, 0] & (rng.random(3000) < 0.3)  # never comes with label 0
    labels = [np.flatnonzero(one) for one in shown]
    pairs = label_pairs(co_occurrence(label_matrix(labels, 40)), 3000)
    attracting = top_pairs(pairs, 'attracting', 10)
    avoiding = top_pairs(pairs, 'avoiding', 10)
    assert [{*pair} for pair in rows(attracting)] == [{0, 1}]
    assert [{*pair} for pair in rows(avoiding)][0] in ({0, 2}, {1, 2})
    assert {frozenset(pair) for pair in rows(avoiding)} == {frozenset((0, 2)), frozenset((1, 2))}


def test_small_counts_are_not_attracting_however_large_their_lift():
    # Two labels with one image each, the same one: the lift is 1,000.
    together = np.array([[400, 1, 1], [1, 1, 1], [1, 1, 1]])
    pairs = label_pairs(together, 1000)
    assert pairs.lift.max() == 1000
    assert len(top_pairs(pairs, 'attracting', 10).first) == 0
    # Six of six are more than chance.
    together = np.array([[400, 1, 1], [1, 6, 6], [1, 6, 6]])
    assert rows(top_pairs(label_pairs(together, 1000), 'attracting', 10)).keys() == {(1, 2)}


def test_few_images_are_not_attracting_however_sure():
    pairs = label_pairs(np.array([[3, 3], [3, 3]]), 100_000)
    assert pairs.q_value[0] < 1e-9
    assert len(top_pairs(pairs, 'attracting', 10).first) == 0
    assert len(top_pairs(pairs, 'attracting', 10, min_images=3).first) == 1
    pairs = label_pairs(np.array([[40, 0], [0, 80]]), 1000)  # 3.2 expected, 0 seen
    assert len(top_pairs(pairs, 'avoiding', 10, max_q=1.0).first) == 0
    assert len(top_pairs(pairs, 'avoiding', 10, max_q=1.0, min_images=3).first) == 1


def test_top_pairs_are_sorted_and_limited():
    together, num_images = random_together()
    pairs = label_pairs(together, num_images)
    common = top_pairs(pairs, 'common', 3)
    assert common.both.tolist() == sorted(pairs.both.tolist(), reverse=True)[:3]
    with pytest.raises(ValueError, match="kind 'rare' is not known"):
        top_pairs(pairs, 'rare', 3)


def test_one_class_has_no_pairs():
    pairs = label_pairs(np.array([[3]]), 5)
    assert all(len(field) == 0 for field in pairs)
    assert all(len(top_pairs(pairs, kind, 5).first) == 0 for kind in ('common', 'attracting'))
