# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json

import numpy as np
import pytest

from cnnrnn_mm.apis.label_lift import measure_lift

FIGURES = ('mean', 'median', 'pooled', 'together')


def test_by_hand():
    # a and b in images 0 and 1, c in 1 and 2, d nowhere
    presence = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    neighbors = np.array([[1, 3], [0, 2], [0, 1], [0, 1]])
    found = measure_lift(neighbors, presence, draws=20)
    assert (found['images'], found['labels'], found['pairs']) == (4, 3, 5)
    lifts = [2 / 1, 2 / 1, 1 / 1, 1 / 1, 1 / 1]  # ab, ba, bc, ca, cb; each expected once
    assert found['mean']['value'] == pytest.approx(np.mean(lifts))
    assert found['median']['value'] == 1
    assert found['pooled']['value'] == pytest.approx(7 / 5)
    assert found['together']['value'] == 1
    json.dumps(found, allow_nan=False)


def test_figures_as_loops_over_images_give_them():
    generator = np.random.default_rng(0)
    presence = generator.random((40, 7)) < [0.5, 0.3, 0.3, 0.1, 0.05, 0.05, 0.0]
    neighbors = np.array(
        [generator.permutation(np.delete(np.arange(7), one))[:3] for one in range(7)]
    )
    lifts, seen, chance = [], 0, 0.0
    for one in range(7):
        for other in neighbors[one]:
            p = [sum(row[label] for row in presence) / 40 for label in (one, other)]
            if min(p) == 0:
                continue
            both = sum(row[one] and row[other] for row in presence)
            lifts.append(both / 40 / (p[0] * p[1]))
            seen, chance = seen + both, chance + 40 * p[0] * p[1]
    found = measure_lift(neighbors, presence, draws=5)
    assert found['pairs'] == len(lifts)
    values = [found[name]['value'] for name in FIGURES]
    expected = [np.mean(lifts), np.median(lifts), seen / chance, np.mean(np.array(lifts) > 0)]
    assert values == pytest.approx(expected)


def random_neighbors(count, k, seed=0):
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.delete(np.arange(count), one))[:k] for one in range(count)]
    return np.array(rows)


def test_planted_pairs_are_found_and_random_neighbours_are_chance():
    """Labels 2i and 2i + 1 come together; their neighbours are each other, or anyone."""
    generator = np.random.default_rng(1)
    each = generator.random((400, 15)) < 0.1
    presence = np.repeat(each, 2, axis=1) & (generator.random((400, 30)) < 0.8)
    planted = measure_lift((np.arange(30) ^ 1)[:, None], presence, draws=200)
    for name in FIGURES[:3]:
        one = planted[name]
        low, high = one['interval']
        assert 5 < low <= one['value'] <= high
        for kind in ('random', 'matched'):
            assert one[kind]['range'][1] < low and one[kind]['p'] == pytest.approx(1 / 201)
    independent = generator.random((2000, 30)) < 0.2
    chance = measure_lift(random_neighbors(30, 3), independent, draws=200)
    for name in FIGURES[:3]:
        one = chance[name]
        assert one['value'] == pytest.approx(1, abs=0.05)
        for kind in ('random', 'matched'):
            assert one[kind]['mean'] == pytest.approx(1, abs=0.05)
            assert one[kind]['p'] > 0.01


def test_what_only_frequency_explains_is_in_the_matched_baseline():
    """All neighbours are frequent labels: they are seen together often, but by chance."""
    generator = np.random.default_rng(2)
    shares = np.repeat([0.3, 0.01], 10)
    presence = generator.random((500, 20)) < shares
    neighbors = np.array([[(one + step) % 10 for step in (1, 2)] for one in range(20)])
    found = measure_lift(neighbors, presence, draws=200)['together']
    assert found['random']['p'] < 0.05 < found['matched']['p']
    assert (
        found['random']['mean'] < found['value'] == pytest.approx(found['matched']['mean'], abs=0.1)
    )


def test_same_seed_same_draws_and_no_pair_no_figure():
    presence = np.random.default_rng(3).random((50, 6)) < 0.3
    neighbors = random_neighbors(6, 2)
    first = measure_lift(neighbors, presence, draws=30, seed=4)
    assert first == measure_lift(neighbors, presence, draws=30, seed=4)
    assert first != measure_lift(neighbors, presence, draws=30, seed=5)
    empty = measure_lift(neighbors, np.zeros((3, 6), bool))
    assert empty['pairs'] == 0 and all(empty[name] is None for name in FIGURES)
