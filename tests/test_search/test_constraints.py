# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Constrained searches against brute force over the allowed paths."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from models import EndsAfterThree, NeverRepeats, RecurrentModels, Tables
from reference import (
    FREE,
    all_paths,
    allowed_ranking,
    assert_same,
    beam,
    best_first,
    check_shape_and_content,
    enumerate_paths,
    found_paths,
    meets,
)

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints

LABELS = 4
MODEL = RecurrentModels(6, LABELS, seed=51)
TRUTH, PREFIXES = enumerate_paths(MODEL), enumerate_paths(MODEL, labels_only=True)


def labels(most):
    return st.lists(st.integers(0, LABELS - 1), max_size=most, unique=True)


@st.composite
def limits(draw):
    """Constraints of any kind, contradictory ones among them; few of them at a time."""
    kinds = draw(st.sets(st.sampled_from(['required', 'forbidden', 'exclusive', 'lengths'])))
    options = dict(prefix=draw(st.just([]) | labels(3)))
    if 'required' in kinds:
        options['required'] = draw(labels(3))
    if 'forbidden' in kinds:
        options['forbidden'] = draw(labels(2))
    if 'exclusive' in kinds:
        options['exclusive'] = draw(st.lists(labels(3), max_size=2))
    if draw(st.booleans()):
        options['order'] = draw(st.permutations(range(LABELS)))
    if 'lengths' in kinds:
        options['min_length'] = draw(st.integers(0, LABELS))
        options['max_length'] = draw(st.none() | st.integers(0, LABELS + 1))
    return Constraints(**options)


def is_possible(one):
    return any(meets(path, one, LABELS) for path in all_paths(LABELS))


def check_images(result, constraints, num_paths):
    """Each image's first path is the best allowed one, and all are allowed."""
    for image, one in enumerate(constraints):
        expected = allowed_ranking(TRUTH, PREFIXES, image, one, LABELS)
        found = found_paths(result, image)
        assert found == [path for _, path in expected][: len(found)]
        values = result.log_probs[image, : len(found)].tolist()
        assert values == pytest.approx([value for value, _ in expected][: len(found)], abs=1e-5)
        assert 1 <= len(found) <= num_paths
        assert bool((result.paths[image, len(found) :] == -1).all())
        assert bool((result.lengths[image, len(found) :] == 0).all())
    assert bool(result.proven.all())


@settings(max_examples=70)
@given(st.lists(limits(), min_size=6, max_size=6))
def test_best_allowed_paths_of_a_mixed_batch(drawn):
    """Each image has constraints of its own; wide beam and best-first search agree with truth."""
    constraints = [one if is_possible(one) else FREE for one in drawn]
    check_images(beam(MODEL, beam_size=24, num_paths=4, constraints=constraints), constraints, 4)
    result = best_first(MODEL, num_paths=3, constraints=constraints)
    check_images(result, constraints, 3)
    for image, one in enumerate(constraints):  # nothing is missing from the best three
        expected = allowed_ranking(TRUTH, PREFIXES, image, one, LABELS)
        assert len(found_paths(result, image)) == min(len(expected), 3)


@settings(max_examples=100)
@given(limits())
def test_one_constraint_for_all(one):
    assume(is_possible(one))
    result = beam(MODEL, beam_size=24, num_paths=3, constraints=one)
    check_images(result, [one] * 6, 3)
    check_shape_and_content(result, MODEL, 3, one)
    result = best_first(MODEL, num_paths=2, constraints=one)
    check_images(result, [one] * 6, 2)
    check_shape_and_content(result, MODEL, 2, one)


@settings(max_examples=300)
@given(limits())
def test_impossible_constraints_are_errors(one):
    """Either by the check or by the search; and the check never refuses what is possible."""
    if is_possible(one):
        one.check(LABELS)
        return
    for search in (beam, best_first):
        with pytest.raises(UsageError):
            search(MODEL, constraints=one)


@settings(max_examples=100)
@given(limits(), st.integers(1, 2), st.integers(0, 5))
def test_narrow_beams_lead_somewhere(one, beam_size, image):
    """Without exclusive groups no beam is too narrow, whatever is wanted."""
    assume(not one.exclusive and is_possible(one))
    result = beam(MODEL, [image], beam_size=beam_size, constraints=one)
    found = found_paths(result, 0)
    assert found and all(meets(path, one, LABELS) for path in found)


@settings(max_examples=25)
@given(st.lists(limits(), min_size=6, max_size=6), st.integers(1, 3))
def test_batch_equals_single_searches(drawn, beam_size):
    # An exclusive group may lead a narrow beam to where nothing follows.
    possible = [is_possible(one) and not one.exclusive for one in drawn]
    constraints = [one if fine else FREE for one, fine in zip(drawn, possible, strict=True)]
    whole = beam(MODEL, beam_size=beam_size, constraints=constraints)
    exact = best_first(MODEL, max_expansions=7, constraints=constraints)
    for image, one in enumerate(constraints):
        alone = beam(MODEL, [image], beam_size=beam_size, constraints=one)
        assert_same(alone, 0, whole, image)
        alone = best_first(MODEL, [image], max_expansions=7, constraints=[one])
        assert_same(alone, 0, exact, image)


# Required labels.
#: Label 3 has probability 0.001 everywhere.
RARE = [[0.3, 0.3, 0.199, 0.001, 0.2]] * 4 + [[0, 0, 0, 0, 1], [0.4, 0.3, 0.199, 0.001, 0.1]]


@pytest.mark.parametrize('beam_size', [1, 2, 3])
def test_improbable_required_label(beam_size):
    model = Tables(RARE, RARE)
    constraints = [Constraints(required=[3]), FREE]
    result = beam(model, beam_size=beam_size, constraints=constraints)
    assert all(3 in path for path in found_paths(result, 0))
    assert 3 not in found_paths(result, 1)[0]
    assert_same(result, 1, beam(model, [1], beam_size=beam_size), 0)


def test_kinds_of_prefixes_are_kept_apart():
    """Two beams hold the best two prefixes with and without the label, so the best path is found.

    (3, 0) has 0.001 * 0.8 of START's mass; all else would crowd it out of one common beam.
    """
    table = [row[:] for row in RARE]
    table[3] = [0.8, 0, 0, 0, 0.2]
    table[0] = [0, 0, 0, 0, 1]
    result = beam(Tables(table), beam_size=2, constraints=Constraints(required=[3]))
    best = best_first(Tables(table), constraints=Constraints(required=[3]))
    assert found_paths(result, 0)[0] == found_paths(best, 0)[0] == (3, 0)


@pytest.mark.parametrize('count', [1, 2, 3, 5])
def test_exactly_k_labels(count):
    model = NeverRepeats(10, 5, seed=53)
    limits = Constraints(min_length=count, max_length=count)
    for result in (beam(model, constraints=limits), best_first(model, constraints=limits)):
        assert bool((result.lengths[:, 0] == count).all())
        assert result.paths.shape[-1] == count


# Canonical order.
@pytest.mark.parametrize('order', [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_canonical_order_gives_each_set_one_path(order):
    result = best_first(MODEL, num_paths=20, constraints=Constraints(order=order))
    for image in range(6):
        found = found_paths(result, image)
        assert len(found) == 16 and len({frozenset(path) for path in found}) == 16
        assert all(list(path) == sorted(path, key=order.index) for path in found)


def test_exactly_k_in_canonical_order():
    """One beam must not take the last label first: nothing could follow it."""
    for order in permutations(range(LABELS)):
        limits = Constraints(order=order, min_length=3, max_length=3)
        for beam_size in (1, 2):
            result = beam(MODEL, beam_size=beam_size, constraints=limits)
            paths = [path for image in range(6) for path in found_paths(result, image)]
            assert all(meets(path, limits, LABELS) for path in paths) and len(paths) >= 6


@pytest.mark.parametrize(
    'limits',
    [
        Constraints(required=[2, 3], max_length=2),
        Constraints(required=[2, 3], max_length=3, forbidden=[0]),
        Constraints(order=[0, 1, 2, 3], required=[0, 3]),
        Constraints(order=[3, 1, 0, 2], required=[1], min_length=3),
        Constraints(prefix=[1], required=[2], max_length=3, min_length=3),
    ],
)
def test_no_dead_end_is_expanded(limits):
    """Asked for every path, the search expands just the prefixes of allowed paths."""
    paths = [path for path in all_paths(LABELS) if meets(path, limits, LABELS)]
    given = len(limits.prefix)
    prefixes = {path[:size] for path in paths for size in range(given, len(path) + 1)}
    result = best_first(MODEL, num_paths=len(paths) + 1, constraints=limits)
    for image in range(6):
        assert sorted(found_paths(result, image)) == sorted(paths)
    assert result.expansions.tolist() == [len(prefixes)] * 6


# Prefixes.
def test_prefixes_of_different_lengths():
    model = RecurrentModels(5, 4, seed=54)
    prefixes = [(), (2,), (3, 1), (0, 1, 2, 3), (1, 0, 2)]
    constraints = [Constraints(prefix=prefix) for prefix in prefixes]
    truth, heads = enumerate_paths(model), enumerate_paths(model, labels_only=True)
    for search in (beam, best_first):
        result = search(model, num_paths=3, constraints=constraints)
        assert result.lengths[3].tolist() == [4, 0, 0]  # one path only
        for image, one in enumerate(constraints):
            given = len(one.prefix)
            expected = allowed_ranking(truth, heads, image, one, 4)
            assert float(result.log_probs[image, 0]) <= expected[0][0] + 1e-5
            found = found_paths(result, image)
            assert all(path[:given] == one.prefix for path in found)
            for k, path in enumerate(found):
                value = float((truth[path] - heads[one.prefix])[image])
                assert float(result.log_probs[image, k]) == pytest.approx(value, abs=1e-5)
                steps = result.step_log_probs[image, k]
                assert steps[:given].tolist() == [0.0] * given
                assert float(steps.sum()) == pytest.approx(value, abs=1e-5)
                assert bool((steps[given : len(path) + 1] < 0).all())
            assert bool((result.paths[image, len(found) :] == -1).all())
            assert_same(result, image, search(model, [image], num_paths=3, constraints=one), 0)


def test_prefix_is_fed_before_the_search():
    """The state goes through the prefix: what follows it is not what follows its last label."""
    model = EndsAfterThree(4, 3, seed=55)
    result = best_first(model, constraints=Constraints(prefix=(1, 0, 2)))
    assert result.log_probs[:, 0].tolist() == [0.0] * 4  # END is certain after three labels
    assert found_paths(result, 0) == [(1, 0, 2)]
    assert result.expansions.tolist() == [1] * 4


def test_search_without_room_behind_the_prefix():
    limits = Constraints(prefix=[1, 3], max_length=2)
    for search in (beam, best_first):
        result = search(MODEL, num_paths=2, constraints=limits)
        assert [found_paths(result, image) for image in range(6)] == [[(1, 3)]] * 6
        assert result.paths.shape == (6, 2, 2)
        assert bool((result.paths[:, 1] == -1).all())


def test_given_sequences_may_be_arrays():
    one = Constraints(
        required=torch.tensor([1]), prefix=torch.tensor([2, 0]).numpy(), exclusive=[range(2, 4)]
    )
    assert one == Constraints(required=(1,), prefix=(2, 0), exclusive=((2, 3),))
    assert hash(one) == hash(Constraints(required=[1], prefix=[2, 0], exclusive=[[2, 3]]))


def test_merged():
    one = Constraints(required=[1], exclusive=[(0, 2)], prefix=[3], min_length=1)
    other = one.merged(required=[0], exclusive=[(1, 3)], prefix=[2], max_length=3)
    assert other == Constraints(
        required=[1, 0], exclusive=[(0, 2), (1, 3)], prefix=[2], min_length=1, max_length=3
    )
    assert one.merged() == one
    with pytest.raises(UsageError, match="'wanted' is not known"):
        one.merged(wanted=[1])


def test_sets_of_constraints_do_not_mix():
    """Equal shapes and different contents, one search after the other."""
    for label in range(LABELS):
        for search in (beam, best_first):
            result = search(MODEL, constraints=Constraints(forbidden=[label], min_length=1))
            assert not bool((result.paths == label).any())
            assert bool(result.log_probs[:, 0].gt(-math.inf).all())
