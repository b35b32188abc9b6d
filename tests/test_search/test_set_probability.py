# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The probability of a label set against the sum over all orders."""

import math
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NeverRepeats, RecurrentModels, Tables
from reference import enumerate_paths, steps_of

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints, NonFiniteScoresError, set_log_probs


def bounds(model, sets, **options):
    return set_log_probs(
        model.step, model.state(), model.starts(), model.num_labels, sets, **options
    )


def summed(model, image, labels, prefix=()):
    """Log of the sum over the paths that begin with the prefix and hold just these labels."""
    rest, total = [label for label in labels if label not in prefix], 0.0
    for tail in permutations(rest):
        steps = steps_of(model, image, (*prefix, *tail))
        total += math.exp(sum(steps[len(prefix) :]))
    return math.log(total)


@pytest.mark.parametrize('kind', [RecurrentModels, NeverRepeats])
def test_every_set_of_four_labels(kind):
    """One set for each image, of all sizes in one batch."""
    sets = [one for size in range(5) for one in combinations(range(4), size)]
    model = kind(16, 4, seed=71)
    lower, upper = bounds(model, sets)
    assert lower.shape == upper.shape == (16,)
    truth = [summed(model, image, one) for image, one in enumerate(sets)]
    assert lower.tolist() == pytest.approx(truth, abs=1e-5)
    assert upper.tolist() == pytest.approx(truth, abs=1e-5)


def test_sets_share_out_the_whole_probability():
    """A model that never repeats draws some set for sure."""
    model = NeverRepeats(6, 4, seed=72)
    total = torch.zeros(6)
    for size in range(5):
        for one in combinations(range(4), size):
            total += bounds(model, [one] * 6)[0].exp()
    assert total.tolist() == pytest.approx([1.0] * 6, abs=1e-5)


@settings(max_examples=60)
@given(st.data(), st.integers(0, 9999), st.integers(1, 5), st.integers(1, 30))
def test_bounds_hold_for_any_set(data, seed, num_labels, max_prefixes):
    """With a prefix, an order or neither, each image its own; labels in any sequence."""
    model = RecurrentModels(3, num_labels, seed, sharpness=1.0)
    labels = st.lists(st.integers(0, num_labels - 1), unique=True)
    sets, limits, truth = [], [], []
    for image in range(3):
        one = data.draw(labels)
        order = data.draw(st.none() | st.permutations(range(num_labels)))
        count = data.draw(st.integers(0, len(one)))
        if order is None:
            prefix = one[:count]
            truth.append(summed(model, image, one, prefix))
        else:
            path = sorted(one, key=order.index)
            prefix = path[:count]
            truth.append(sum(steps_of(model, image, tuple(path))[count:]))
        sets.append(data.draw(st.permutations(one)))
        limits.append(Constraints(prefix=prefix, order=order))
    lower, upper = bounds(model, sets, constraints=limits, max_prefixes=max_prefixes)
    for image in range(3):
        assert float(lower[image]) <= truth[image] + 1e-5
        assert float(upper[image]) >= truth[image] - 1e-5
        number = math.factorial(len(sets[image]) - len(limits[image].prefix))
        if number <= max_prefixes or limits[image].order is not None:
            assert float(lower[image]) == pytest.approx(truth[image], abs=1e-5)
            assert float(upper[image]) == pytest.approx(truth[image], abs=1e-5)


def test_image_does_not_depend_on_its_neighbours():
    model = RecurrentModels(6, 5, seed=73)
    sets = [(1,), (0, 2, 3, 4, 1), (), (3, 2), (4, 0, 1), (2,)]
    lower, upper = bounds(model, sets, max_prefixes=7)
    for image, one in enumerate(sets):
        alone = set_log_probs(
            model.step, model.state([image]), model.starts(1), 5, [one], max_prefixes=7
        )
        assert float(alone[0]) == pytest.approx(float(lower[image]), abs=1e-6)
        assert float(alone[1]) == pytest.approx(float(upper[image]), abs=1e-6)


def test_larger_sets_have_two_bounds():
    """Seven labels have 5040 orders; the truth over all of them is between the bounds."""
    model = RecurrentModels(2, 7, seed=74, sharpness=1.0, end_bias=-3)
    sets = [range(7)] * 2
    truth, same = bounds(model, sets, max_prefixes=5040)
    torch.testing.assert_close(truth, same)
    paths = enumerate_paths_of_all_labels(model)
    torch.testing.assert_close(truth.double(), paths, atol=1e-5, rtol=0)
    previous = None
    for most in (1, 10, 100, 720):
        lower, upper = bounds(model, sets, max_prefixes=most)
        assert bool((lower <= truth + 1e-5).all() and (truth <= upper + 1e-5).all())
        assert bool((lower < upper - 1e-4).all())
        if previous is not None:
            assert bool((upper - lower < previous).all())
        previous = upper - lower
    torch.testing.assert_close(lower, bounds(model, sets)[0])  # 720 unless told otherwise


def enumerate_paths_of_all_labels(model):
    small = RecurrentModels(1, model.num_labels, 0)
    small.num_models, small.weights = model.num_models, model.weights
    paths = enumerate_paths(small)
    whole = [value for path, value in paths.items() if len(path) == model.num_labels]
    return torch.stack(whole).logsumexp(0)


def test_rows_are_bounded():
    model = RecurrentModels(2, 6, seed=75)
    model.rows_fed.clear()
    bounds(model, [range(6)] * 2, max_prefixes=11)
    assert max(model.rows_fed) == 22


def test_one_path_with_an_order_takes_one_row():
    """No order of labels is dropped for lack of room, since there is one only."""
    model = RecurrentModels(2, 7, seed=76)
    limits = Constraints(order=[6, 5, 4, 3, 2, 1, 0])
    lower, upper = bounds(model, [range(7)] * 2, constraints=limits, max_prefixes=1)
    torch.testing.assert_close(lower, upper)
    for image in range(2):
        expected = sum(steps_of(model, image, (6, 5, 4, 3, 2, 1, 0)))
        assert float(lower[image]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('limits', [{'required': [2]}, {'forbidden': [0]}, {'max_length': 1}])
def test_other_constraints_are_not_used(limits):
    model = RecurrentModels(2, 4, seed=77)
    free = bounds(model, [(0, 1), (1, 0)])
    torch.testing.assert_close(free, bounds(model, [(0, 1)] * 2, constraints=Constraints(**limits)))


def test_impossible_set():
    model = Tables([[0, 0.5, 0.5], [0, 0, 1], [0, 0, 1], [1, 0, 0]])
    lower, upper = bounds(model, [()])
    assert lower.tolist() == upper.tolist() == [-math.inf]
    assert bounds(model, [(0, 1)])[0].exp().tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(
    ('sets', 'options', 'named'),
    [
        ([(0, 4)] * 2, {}, r'label 4 of a set is outside 0\.\.3'),
        ([(0,), (-1,)], {}, 'label -1 of a set'),
        ([(0, 1, 0), ()], {}, r'label set \[0, 1, 0\] holds a label twice'),
        ([(1,), (0,)], {'constraints': Constraints(prefix=[1])}, r'\[0\] lacks label 1'),
        ([(1,)], {}, '1 label sets? for 2 images'),
        ([(1,)] * 3, {}, '3 label sets? for 2 images'),
        ([(1,)] * 2, {'constraints': [Constraints()]}, '1 constraints for 2 images'),
        ([(1.5,)] * 2, {}, '1.5'),
        ([('a',)] * 2, {}, "'a'"),
        ([(1,)] * 2, {'constraints': Constraints(order=[0, 1])}, 'order has 2 distinct labels'),
        ([(1,)] * 2, {'max_prefixes': 0}, 'max_prefixes is 0'),
        ([(1,)] * 2, {'max_prefixes': -1}, 'max_prefixes is -1'),
    ],
)
def test_bad_input(sets, options, named):
    with pytest.raises(UsageError, match=named) as caught:
        bounds(RecurrentModels(2, 4, seed=78), sets, **options)
    assert '\n' not in str(caught.value)


def test_set_that_no_path_names_in_order():
    """0 comes before the prefix label 1, so no path in this order begins with 1 and holds 0."""
    limits = Constraints(prefix=[1], order=[0, 1, 2, 3])
    with pytest.raises(UsageError, match='label 0'):
        bounds(RecurrentModels(2, 4, seed=79), [(0, 1)] * 2, constraints=limits)


def test_nan_is_an_error():
    model = RecurrentModels(4, 3, seed=80)
    model.weights[3][2] = math.nan
    with pytest.raises(NonFiniteScoresError) as caught:
        bounds(model, [(0, 1, 2)] * 4, max_prefixes=2)
    assert caught.value.images == [2]


def test_results_serve_autograd():
    lower, upper = bounds(RecurrentModels(2, 3, seed=81), [(0, 1)] * 2)
    scale = torch.ones(2, requires_grad=True)
    (scale * lower + scale * upper).sum().backward()
    assert not lower.requires_grad and scale.grad.tolist() == (lower + upper).tolist()
