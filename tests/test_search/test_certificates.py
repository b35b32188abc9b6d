# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a result claims of paths and label sets that it does not hold, against brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import EndsAfterThree, ExactlyTwo, NeverRepeats, RecurrentModels, Tables
from reference import (
    all_models,
    beam,
    best_first,
    drawn_marginals,
    enumerate_paths,
    enumerated,
    first_mentions,
    found_paths,
    ranking,
    steps_of,
)

from cnnrnn_mm.search import Constraints


# The best path.
@pytest.mark.parametrize('beam_size', [1, 2, 3, 4, 5])
@all_models
def test_proven_means_best(models, beam_size):
    model, truth = enumerated(*models)
    result = beam(model, beam_size=beam_size)
    for image in range(model.num_models):
        best, path = ranking(truth, image)[0]
        found = float(result.log_probs[image, 0])
        assert best <= found + float(result.gaps[image]) + 1e-5
        if bool(result.proven[image]):
            assert found_paths(result, image)[0] == path
            assert found == pytest.approx(best, abs=1e-5)


def test_a_fair_share_is_proven_and_some_are_not():
    """Of 100 images whose best path is found, wider beams prove more."""
    shares = []
    model, truth = enumerated(RecurrentModels, 4, 90)
    for beam_size in (1, 2, 3, 5):
        result = beam(model, beam_size=beam_size)
        right = [ranking(truth, i)[0][1] == found_paths(result, i)[0] for i in range(90)]
        assert sum(right) > int(result.proven.sum())  # being right is not yet a proof
        shares.append(float(result.proven.float().mean()))
    assert shares == sorted(shares)
    assert 0.05 < shares[0] < 0.6 and 0.5 < shares[-1] < 1.0


@pytest.mark.parametrize(('beam_size', 'num_paths'), [(1, 1), (2, 1), (2, 5), (4, 3), (5, 20)])
@all_models
def test_rest_bounds_what_was_left_out(models, beam_size, num_paths):
    """Nothing that was not returned beats both ``rest`` and everything returned."""
    model, truth = enumerated(*models)
    result = beam(model, beam_size=beam_size, num_paths=num_paths)
    for image in range(0, model.num_models, 2):
        returned = found_paths(result, image)
        bound = max(float(result.rest[image]), float(result.log_probs[image, len(returned) - 1]))
        left_out = [one for one in ranking(truth, image) if one[1] not in returned]
        assert not left_out or left_out[0][0] <= bound + 1e-5


def test_rest_is_a_number_that_can_be_reached():
    """An END that ranks too low and a beginning that does not fit: ``rest`` is the larger one."""
    table = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0.5, 0.3, 0.15, 0.05]]
    assert float(beam(Tables(table), beam_size=1).rest.exp()) == pytest.approx(0.3)
    assert float(beam(Tables(table), beam_size=2).rest.exp()) == pytest.approx(0.15)
    assert float(beam(Tables(table), beam_size=3).rest.exp()) == pytest.approx(0.05)
    assert float(beam(Tables(table), beam_size=4).rest) == -math.inf


# Label sets of drawn paths.
def marginals_of(model, prefix=()):
    return torch.stack([drawn_marginals(model, i, 3, prefix) for i in range(model.num_models)])


def within_bounds(result, truth):
    assert bool((result.lower <= truth + 1e-5).all())
    assert bool((result.upper >= truth - 1e-5).all())
    return float((result.upper - result.lower).mean())


REPEATING = EndsAfterThree(12, 3, seed=41, sharpness=1.0, end_bias=-0.5)


@pytest.mark.parametrize('prefix', [(), (1,), (2, 0)])
def test_bounds_hold_for_drawn_paths_that_repeat(prefix):
    """Beam search and best-first search, wide and narrow; with a prefix conditional on it."""
    truth = marginals_of(REPEATING, prefix)
    limits = Constraints(prefix=prefix)
    slack = [
        within_bounds(beam(REPEATING, beam_size=size, constraints=limits), truth)
        for size in (1, 2, 3, 9)
    ] + [
        within_bounds(
            best_first(REPEATING, max_expansions=most, num_paths=paths, constraints=limits), truth
        )
        for most, paths in ((1, 1), (3, 1), (999, 1), (999, 3), (999, 16))
    ]
    assert 0.02 < slack[-1] <= slack[0]  # what repeats stays open, so the bounds never meet
    assert min(slack) < 0.4  # and they say more than 0 and 1


@pytest.mark.parametrize(
    'limits',
    [
        Constraints(required=[1]),
        Constraints(forbidden=[0], exclusive=[(1, 2)]),
        Constraints(order=[2, 0, 1], min_length=1, max_length=2),
        Constraints(min_length=3),
    ],
)
def test_bounds_are_about_the_free_model(limits):
    """Constraints leave paths out of the search, not out of what the model would draw."""
    truth = marginals_of(REPEATING)
    for size in (1, 3, 9):
        within_bounds(beam(REPEATING, beam_size=size, constraints=limits), truth)
    within_bounds(best_first(REPEATING, num_paths=16, constraints=limits), truth)


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(0, 9999), st.integers(1, 9), st.integers(1, 9))
def test_bounds_of_any_search(num_labels, seed, size, num_paths):
    model = EndsAfterThree(2, num_labels, seed)
    truth = marginals_of(model)
    within_bounds(beam(model, beam_size=size, num_paths=num_paths), truth)
    within_bounds(best_first(model, max_expansions=size, num_paths=num_paths), truth)


def chain_marginals(table):
    """P(label in a path of a Markov chain that may run for ever), by linear equations."""
    steps = torch.tensor(table, dtype=torch.float64)
    count = steps.shape[1] - 1
    truth = []
    for label in range(count):
        others = [token for token in range(count) if token != label]
        among = steps[others][:, others]
        hits = torch.linalg.solve(torch.eye(count - 1).double() - among, steps[others, label])
        truth.append(steps[-1, label] + steps[-1, others] @ hits)
    return torch.stack(truth)


def test_bounds_of_an_endless_chain():
    """Solved exactly: paths of any length, labels many times over."""
    rows = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(42)) ** 2
    tables = [(one / one.sum(1, keepdim=True)).tolist() for one in rows]
    model = Tables(*tables)
    truth = torch.stack([chain_marginals(table) for table in tables])
    for size in (1, 2, 4, 16):
        within_bounds(beam(model, beam_size=size), truth)
    for most in (1, 4, 999):
        within_bounds(best_first(model, max_expansions=most, num_paths=16), truth)


# Where nothing is left open.
def test_bounds_meet_where_everything_is_expanded():
    model = NeverRepeats(20, 4, seed=43)
    truth = first_mentions(model)
    result = best_first(model, num_paths=len(enumerate_paths(model)))
    torch.testing.assert_close(result.lower.double(), truth, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.upper.double(), truth, atol=1e-5, rtol=0)


def test_wider_beams_are_tighter_and_the_widest_exact():
    """Every path has two labels, so no search stops early, and 20 beams hold all beginnings."""
    model = ExactlyTwo(20, 5, seed=44)
    truth = first_mentions(model)
    lower, upper = torch.zeros(20, 5), torch.ones(20, 5)
    slack = []
    for size in (1, 2, 5, 10, 20):
        result = beam(model, beam_size=size)
        slack.append(within_bounds(result, truth))
        assert bool((result.lower >= lower - 1e-6).all())
        assert bool((result.upper <= upper + 1e-6).all())
        lower, upper = result.lower, result.upper
    assert slack == sorted(slack, reverse=True) and slack[0] > 0.1
    torch.testing.assert_close(lower.double(), truth, atol=1e-5, rtol=0)
    torch.testing.assert_close(upper.double(), truth, atol=1e-5, rtol=0)


@pytest.mark.parametrize('beam_size', [1, 2, 5, 24])
def test_lower_bound_holds_at_least_the_paths_found(beam_size):
    model = NeverRepeats(40, 4, seed=23)
    result = beam(model, beam_size=beam_size)
    within_bounds(result, first_mentions(model))
    for image in range(40):
        found = torch.zeros(4)
        paths = found_paths(result, image)
        for path, log_prob in zip(paths, result.log_probs[image], strict=False):
            found[list(path)] += log_prob.exp()
        assert bool((result.lower[image] >= found - 1e-6).all())
        assert bool((result.lower[image] > 0).all())  # labels of no path rank, too


def test_largest_step_of_each_label():
    """The largest p(label given prefix) among the expanded prefixes that do not hold it."""
    model = RecurrentModels(6, 4, seed=46)
    every = best_first(model, num_paths=len(enumerate_paths(model)))
    greedy = beam(model, beam_size=1)
    for image in range(6):
        steps = {}  # p(label given prefix)
        for path in enumerate_paths(model, labels_only=True):
            if path:
                steps[path] = math.exp(steps_of(model, image, path)[len(path) - 1])
        expected = [max(p for path, p in steps.items() if path[-1] == x) for x in range(4)]
        assert every.largest[image].tolist() == pytest.approx(expected, abs=1e-5)
        found = found_paths(greedy, image)[0]
        expanded = [found[:length] for length in range(len(found) + 1)]
        expected = [
            max((steps[(*path, x)] for path in expanded if x not in path), default=0.0)
            for x in range(4)
        ]
        assert greedy.largest[image].tolist() == pytest.approx(expected, abs=1e-5)
    forbidden = beam(model, constraints=Constraints(forbidden=[2]))
    assert forbidden.largest[:, 2].tolist() == [0.0] * 6


@pytest.mark.parametrize('search', [beam, best_first])
def test_given_labels_are_certain(search):
    limits = [Constraints(prefix=prefix) for prefix in ((), (2,), (0, 1), (2, 1, 0))]
    model = EndsAfterThree(4, 3, seed=45)
    result = search(model, constraints=limits)
    for image, one in enumerate(limits):
        given = list(one.prefix)
        assert bool((result.lower[image, given] == 1).all())
        assert bool((result.upper[image, given] == 1).all())
        truth = drawn_marginals(model, image, 3, one.prefix)
        assert bool((result.lower[image] <= truth + 1e-5).all())
        assert bool((result.upper[image] >= truth - 1e-5).all())
