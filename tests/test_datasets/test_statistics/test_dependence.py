# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from itertools import combinations, product

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from cnnrnn_mm.datasets.statistics import (
    chow_liu_forest,
    co_occurrence,
    held_out_gain,
    label_matrix,
    mutual_information,
)


def to_matrix(shown):
    return label_matrix([np.flatnonzero(one) for one in shown], shown.shape[1])


def draw(num_images, shares, seed=0):
    return np.random.default_rng(seed).random((num_images, len(shares))) < np.asarray(shares)


def entropy(share):
    return -sum(one * np.log2(one) for one in (share, 1 - share) if one > 0)


@pytest.mark.parametrize(('seed', 'num_images'), [(0, 1), (1, 2), (2, 7), (3, 60), (4, 1000)])
def test_plug_in_value_is_scikit_learns(seed, num_images):
    shown = draw(num_images, (0.5, 0.2, 0.9, 0.0), seed)
    found = mutual_information(co_occurrence(to_matrix(shown)), num_images, corrected=False)
    for a, b in product(range(4), repeat=2):
        expected = mutual_info_score(shown[:, a], shown[:, b]) / np.log(2)
        assert found[a, b] == pytest.approx(expected, abs=1e-9)
        if a == b:
            assert found[a, a] == pytest.approx(entropy(shown[:, a].mean()), abs=1e-9)


def test_correction_by_hand():
    """Both labels in 5 of 20 images, together in 2: all four cells are there."""
    together = np.array([[5, 2], [2, 5]])
    plug_in = mutual_information(together, 20, corrected=False)[0, 1]
    corrected = mutual_information(together, 20)[0, 1]
    assert plug_in - corrected == pytest.approx((3 - 1 - 1) / (40 * np.log(2)))
    # Never together: three cells, as many as the two labels have beyond one each.
    together = np.array([[5, 0], [0, 5]])
    difference = mutual_information(together, 20, corrected=False) - mutual_information(
        together, 20
    )
    assert difference[0, 1] == pytest.approx(0)


def test_correction_takes_the_bias_of_independent_labels_away():
    plug_in, corrected = [], []
    for seed in range(200):
        together = co_occurrence(to_matrix(draw(100, (0.5, 0.3), seed)))
        plug_in.append(mutual_information(together, 100, corrected=False)[0, 1])
        corrected.append(mutual_information(together, 100)[0, 1])
    error = np.std(plug_in) / np.sqrt(200)
    assert np.mean(plug_in) > 5 * error
    assert abs(np.mean(corrected)) < 3 * error


def test_forest_is_the_best_of_all_trees():
    """Brute force over all sets of three edges on four labels."""
    for seed in range(5):
        shown = draw(300, (0.5,) * 4, seed)
        shown[:, 1] = np.where(draw(300, (0.7,), seed + 50)[:, 0], shown[:, 0], shown[:, 1])
        shown[:, 2] = np.where(draw(300, (0.6,), seed + 60)[:, 0], shown[:, 1], shown[:, 2])
        shown[:, 3] = np.where(draw(300, (0.8,), seed + 70)[:, 0], shown[:, 1], shown[:, 3])
        together = co_occurrence(to_matrix(shown))
        bits = mutual_information(together, 300, corrected=False)
        pairs = list(combinations(range(4), 2))
        trees = [edges for edges in combinations(pairs, 3) if is_tree(edges)]
        best = max(trees, key=lambda edges: sum(bits[a, b] for a, b in edges))
        found = chow_liu_forest(together, 300)
        assert {frozenset(edge) for edge in found.tolist()} == set(map(frozenset, best))


def is_tree(edges):
    reached = {0}
    for _ in edges:
        reached |= {node for edge in edges if reached & set(edge) for node in edge}
    return reached == set(range(4))


def test_forest_is_rooted_in_frequent_labels_with_parents_first():
    shown = draw(2000, (0.3, 0.5, 0.4, 0.6, 0.2))
    shown[:, 0] = shown[:, 1] & shown[:, 0]  # 0 hangs on 1, and 4 on 3
    shown[:, 4] = shown[:, 3] & shown[:, 4]
    found = chow_liu_forest(co_occurrence(to_matrix(shown)), 2000)
    assert found.tolist() == [[3, 4], [1, 0]]


def test_gain_equals_probabilities_of_the_forest_written_out():
    """Image by image and label by label, in a loop."""
    shown = draw(60, (0.5, 0.4, 0.2, 0.3), seed=3)
    shown[:, 1] = shown[:, 0] ^ draw(60, (0.05,), seed=4)[:, 0]
    shown[:, 3] = shown[:, 2] ^ draw(60, (0.05,), seed=5)[:, 0]
    gain = held_out_gain(to_matrix(shown), folds=3, seed=5)
    fold_of = np.random.default_rng(5).permutation(60) % 3
    alone, along = [], []
    for image in range(60):
        rest = shown[fold_of != fold_of[image]]
        num, counts = len(rest), rest.sum(0)
        share = (counts + 0.5) / (num + 1)
        edges = chow_liu_forest(co_occurrence(to_matrix(rest)), num)
        parents = {child: parent for parent, child in edges.tolist()}
        bits_alone = bits_along = 0.0
        for label in range(4):
            there = shown[image, label]
            bits_alone -= np.log2(share[label] if there else 1 - share[label])
            given = share[label]
            if label in parents:
                same = rest[rest[:, parents[label]] == shown[image, parents[label]]]
                given = (same[:, label].sum() + share[label]) / (len(same) + 1)
            bits_along -= np.log2(given if there else 1 - given)
        alone.append(bits_alone)
        along.append(bits_along)
    saved = np.array(alone) - np.array(along)
    assert gain.independent_bits == pytest.approx(np.mean(alone))
    assert gain.tree_bits == pytest.approx(np.mean(along))
    assert gain.gain_bits == pytest.approx(saved.mean()) and gain.gain_bits > 0.1
    assert gain.standard_error == pytest.approx(saved.std(ddof=1) / np.sqrt(60))
    assert gain.gain_percent == pytest.approx(100 * saved.mean() / np.mean(alone))


@pytest.mark.parametrize('seed', range(8))
def test_independent_labels_gain_nothing(seed):
    shares = np.random.default_rng(seed).uniform(0.01, 0.5, 30)
    gain = held_out_gain(to_matrix(draw(1000, shares, seed)))
    assert gain.gain_bits < 3 * gain.standard_error + 1e-12
    assert abs(gain.gain_percent) < 1
    assert gain.independent_bits == pytest.approx(sum(map(entropy, shares)), rel=0.05)


def test_copies_gain_their_entropy():
    """Labels 1 and 2 copy label 0: known bits, of which no more can be found."""
    shown = draw(4000, (0.5, 0.5, 0.5, 0.3))
    shown[:, 1], shown[:, 2] = shown[:, 0], shown[:, 0]
    gain = held_out_gain(to_matrix(shown))
    assert gain.gain_bits == pytest.approx(2.0, abs=0.01)
    assert gain.independent_bits == pytest.approx(3 + entropy(0.3), abs=0.02)


def test_chain_gains_what_its_law_says():
    """Each label repeats the one before with probability 0.9: 1 - H(0.9) bits a step."""
    rng = np.random.default_rng(0)
    shown = draw(20000, (0.5,) * 5)
    for label in range(1, 5):
        keep = rng.random(20000) < 0.9
        shown[:, label] = np.where(keep, shown[:, label - 1], ~shown[:, label - 1])
    gain = held_out_gain(to_matrix(shown))
    assert gain.gain_bits == pytest.approx(4 * (1 - entropy(0.9)), abs=4 * gain.standard_error)


def test_labels_that_depend_only_as_a_whole_show_no_gain():
    """The parity of two coins: no pair depends, which is what a lower bound means."""
    shown = draw(4000, (0.5, 0.5, 0.5))
    shown[:, 2] = shown[:, 0] ^ shown[:, 1]
    gain = held_out_gain(to_matrix(shown))
    assert abs(gain.gain_bits) < 0.01


def test_too_few_images():
    assert held_out_gain(to_matrix(draw(9, (0.5, 0.5)))) is None
    assert held_out_gain(to_matrix(draw(10, (0.5, 0.5)))) is not None
    empty = held_out_gain(to_matrix(np.zeros((10, 2), bool)))
    assert empty.gain_bits == 0.0
