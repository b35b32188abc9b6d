# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Best-first search that runs out of expansions: no false proof, true bounds, always a path."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NeverRepeats, RecurrentModels, Tables
from reference import (
    FREE,
    all_models,
    assert_same,
    best_first,
    check_shape_and_content,
    enumerate_paths,
    enumerated,
    first_mentions,
    found_paths,
    meets,
    ranking,
)

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints, NonFiniteScoresError, best_first_search


def check_claims(result, model, truth, budget, limits=FREE):
    """What is claimed of each image against its true ranking; returns how many are proven."""
    assert bool((result.expansions <= budget).all())
    allowed = truth.where(lambda path: meets(path, limits, model.num_labels))
    for image in range(model.num_models):
        order = ranking(allowed, image)
        found, best = float(result.log_probs[image, 0]), order[0][0]
        gap = float(result.gaps[image])
        assert best <= found + gap + 1e-5
        assert found == pytest.approx(float(truth[found_paths(result, image)[0]][image]), abs=1e-5)
        if bool(result.proven[image]):
            assert found == pytest.approx(best, abs=1e-5) and gap == 0.0
        else:
            assert gap > 0
        # What was neither returned nor worse than everything returned is below ``rest``.
        returned = found_paths(result, image)
        bound = max(float(result.rest[image]), float(result.log_probs[image, len(returned) - 1]))
        assert all(value <= bound + 1e-5 for value, path in order if path not in returned)
    return int(result.proven.sum())


@pytest.mark.parametrize(('budget', 'num_paths'), [(1, 1), (2, 1), (3, 3), (6, 1), (20, 3)])
@all_models
def test_small_budgets(models, budget, num_paths):
    model, truth = enumerated(*models)
    result = best_first(model, max_expansions=budget, num_paths=num_paths)
    check_claims(result, model, truth, budget)
    assert bool((result.lower <= first_mentions_of(models) + 1e-5).all())


def first_mentions_of(models, _cache={}):  # noqa: B006
    if models not in _cache:
        _cache[models] = first_mentions(enumerated(*models)[0])
    return _cache[models]


def test_some_are_proven_and_some_are_not():
    model, truth = enumerated(RecurrentModels, 5, 60)
    for budget, least, most in ((1, 1, 30), (6, 20, 55), (1000, 60, 60)):
        result = best_first(model, max_expansions=budget)
        assert least <= check_claims(result, model, truth, budget) <= most


def test_more_expansions_never_say_less():
    """A larger budget tightens both bounds, and ``rest`` and the best path follow."""
    model = RecurrentModels(8, 5, seed=31, sharpness=0.7, end_bias=-1.5)
    before = None
    for budget in (1, 2, 4, 9, 30, 100, 1000):
        result = best_first(model, max_expansions=budget)
        if before is not None:
            assert bool((result.lower >= before.lower - 1e-6).all())
            assert bool((result.upper <= before.upper + 1e-6).all())
            assert bool((result.expansions >= before.expansions).all())
        before = result
    assert bool(before.proven.all())


@pytest.mark.parametrize('budget', [1, 2, 3, 5, 17, 60])
def test_budget_is_used_up_before_giving_up(budget):
    """Unproven means that every expansion was spent: none is left unused."""
    model = RecurrentModels(12, 6, seed=32, sharpness=0.3, end_bias=-6)
    result = best_first(model, max_expansions=budget)
    assert not bool(result.proven.any())
    assert result.expansions.tolist() == [budget] * 12


@settings(max_examples=30)
@given(
    st.sampled_from([RecurrentModels, NeverRepeats]),
    st.integers(1, 5),
    st.integers(0, 9999),
    st.sampled_from([-6.0, -2.0, 0.0]),
    st.integers(1, 30),
    st.integers(1, 4),
)
def test_any_budget(kind, num_labels, seed, bias, budget, num_paths):
    model = kind(3, num_labels, seed, 1.5, bias)
    result = best_first(model, max_expansions=budget, num_paths=num_paths)
    check_shape_and_content(result, model, num_paths)
    check_claims(result, model, enumerate_paths(model), budget)
    for image in range(3):
        alone = best_first(model, [image], max_expansions=budget, num_paths=num_paths)
        assert_same(alone, 0, result, image)


# No path within the budget.
AT_ONCE = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.1, 0.1, 0.8]]
#: END can't come before both labels are there, or is far below them.
LATE = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0]]
LATER = [[0, 0.9, 0.1], [0.8, 0, 0.2], [0, 0, 1], [0.6, 0.4, 0]]


def test_beam_search_steps_in():
    result = best_first(Tables(LATER), max_expansions=1)
    assert found_paths(result, 0) == [(0, 1)]
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.6 * 0.9 * 0.2)
    assert float(result.rest.exp()) == pytest.approx(0.6)
    assert not bool(result.proven) and float(result.gaps.exp()) == pytest.approx(1 / 0.18)
    assert int(result.expansions) == 1
    # The beam search has expanded more than START: 0.6 and 0.4 grow by 0.4 * 0.8 and 0.6 * 0.9.
    assert result.lower[0].tolist() == pytest.approx([0.92, 0.94])
    # Paths of the other label alone: 0.4 * 0.2 and 0.6 * 0.1.
    assert result.upper[0].tolist() == pytest.approx([0.92, 0.94])


@pytest.mark.parametrize('num_paths', [1, 4])
def test_beam_search_steps_in_for_one_image(num_paths):
    """Its longer paths must not change what is said of its neighbours, step by step."""
    model = Tables(AT_ONCE, LATER, AT_ONCE)
    result = best_first(model, max_expansions=1, num_paths=num_paths)
    check_shape_and_content(result, model, num_paths)
    for image in range(3):
        alone = best_first(model, [image], max_expansions=1, num_paths=num_paths)
        assert_same(result, image, alone, 0)


def test_beam_search_steps_in_with_constraints():
    """Each image keeps its own constraint, prefix included."""
    model = RecurrentModels(4, 5, seed=33)
    limits = [
        FREE,
        Constraints(required=[0, 3], min_length=3),
        Constraints(prefix=[2, 1], min_length=4),
        Constraints(forbidden=[0], min_length=2, max_length=2),
    ]
    result = best_first(model, max_expansions=1, num_paths=2, constraints=limits)
    for image, one in enumerate(limits):
        assert all(meets(path, one, 5) for path in found_paths(result, image))
        alone = best_first(model, [image], max_expansions=1, num_paths=2, constraints=one)
        assert_same(result, image, alone, 0)
    assert result.totals[2, 0, :2].tolist() == [0.0, 0.0]


def test_required_label_that_the_budget_does_not_reach():
    model, truth = enumerated(RecurrentModels, 5, 60)
    limits = Constraints(required=[1, 4])
    for budget in (1, 3, 10):
        result = best_first(model, max_expansions=budget, constraints=limits)
        check_claims(result, model, truth, budget, limits)


def scores(*tables):
    """A step like that of ``Tables`` on log-probabilities that may be broken."""
    log_probs = torch.tensor(tables).log()
    state = (torch.arange(len(tables)),)
    step = lambda tokens, state: (log_probs[state[0], tokens], state)  # noqa: E731
    return log_probs, (step, state, torch.full((len(tables),), 3), 2)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_model_that_breaks_behind_the_budget(value):
    """The image is named by its place in the batch, though it is searched once more alone."""
    log_probs, arguments = scores(AT_ONCE, AT_ONCE, LATE)
    log_probs[2, :2] = value
    with pytest.raises(NonFiniteScoresError, match='image 2 of the batch') as caught:
        best_first_search(*arguments, max_expansions=1)
    assert caught.value.images == [2]


def test_no_path_behind_the_budget():
    """Likewise for an image that has no path at all."""
    limits = [FREE, FREE, Constraints(min_length=1, forbidden=[1])]
    never = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0]]  # label 0 is never followed by END
    _, arguments = scores(AT_ONCE, AT_ONCE, never)
    with pytest.raises(UsageError, match='image 2 of the batch'):
        best_first_search(*arguments, max_expansions=1, constraints=limits)


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(num_paths=0), 'num_paths is 0'),
        (dict(max_expansions=0), 'max_expansions is 0'),
        (dict(max_expansions=-1), 'max_expansions is -1'),
        (dict(constraints=Constraints(min_length=3)), 'min_length is 3'),
    ],
)
def test_options_out_of_range(options, named):
    with pytest.raises(UsageError, match=named):
        best_first(Tables(LATER), **options)
