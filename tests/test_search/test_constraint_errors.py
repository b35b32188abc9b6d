# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Constraints that can't be met or read, and models that give no numbers."""

import math

import pytest
import torch
from models import RecurrentModels, Tables
from reference import beam, best_first

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import (
    Constraints,
    NonFiniteScoresError,
    beam_search,
    best_first_search,
    set_log_probs,
)

MODEL = RecurrentModels(3, 4, seed=61)


@pytest.mark.parametrize('search', [beam, best_first])
@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(required=[1], forbidden=[0, 1]), 'label 1 is forbidden and required'),
        (dict(prefix=[2], forbidden=[2]), 'label 2 is forbidden and in the prefix'),
        (dict(required=[1, 2], exclusive=[(0, 2, 1)]), 'labels (1 and 2|2 and 1) exclude'),
        (dict(prefix=[3, 0], exclusive=[(1, 2), (0, 3)]), 'labels 0 and 3 exclude each other'),
        (dict(prefix=[3], required=[1], exclusive=[(1, 3)]), 'labels 1 and 3 exclude each other'),
        (dict(forbidden=[0, 1], min_length=3), 'min_length is 3, but only 2 of 4'),
        (dict(required=[0], exclusive=[(0, 1), (0, 2)], min_length=3), 'only 2 of 4 labels'),
        (dict(order=[3, 2, 1, 0], prefix=[1], min_length=3), 'only 2 of 4 labels'),
        (dict(required=[0, 1, 2], max_length=2), 'max_length is 2, .* labels are 3'),
        (dict(prefix=[0, 1], required=[1, 2], max_length=2), 'max_length is 2, .* labels are 3'),
        (dict(prefix=[0, 1, 0]), 'prefix label 0 comes twice'),
        (dict(min_length=5), 'min_length is 5 and max_length is 4 with 4 labels'),
        (dict(min_length=3, max_length=2), 'min_length is 3 and max_length is 2'),
        (dict(max_length=-1), 'max_length is -1'),
        (dict(required=[4]), r'required holds label 4, which is outside 0\.\.3'),
        (dict(forbidden=[-1]), 'forbidden holds label -1'),
        (dict(prefix=[99]), 'prefix holds label 99'),
        (dict(exclusive=[(0, 1), (2, 7)]), 'exclusive holds label 7'),
        (dict(order=[0, 1, 2, 4]), 'order holds label 4'),
        (dict(order=[0, 1, 2]), 'order has 3 distinct labels of 4'),
        (dict(order=[0, 1, 2, 2]), 'order has 3 distinct labels of 4'),
        (dict(order=[0, 1, 2, 3, 3]), 'order has 4 distinct labels of 4'),
        (dict(order=[0, 1, 2, 3], prefix=[2, 1]), r'prefix \[2, 1\] is not in the canonical order'),
        (dict(order=[3, 0, 1, 2], prefix=[1], required=[3]), 'required label 3 comes before'),
    ],
)
def test_contradictions(search, options, named):
    """One line that names the values, before the model is run, for one image of several, too."""
    one = Constraints(**options)
    for given in (one, [Constraints(), one, Constraints()]):
        MODEL.rows_fed.clear()
        with pytest.raises(UsageError, match=named) as caught:
            search(MODEL, constraints=given)
        assert '\n' not in str(caught.value)
        assert MODEL.rows_fed == []


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(required=3), 'required is 3'),
        (dict(required='0'), "required is '0'"),
        (dict(required=['car']), "required holds 'car'"),
        (dict(forbidden=[1.0]), 'forbidden holds 1.0'),
        (dict(forbidden=[True]), 'forbidden holds True'),
        (dict(prefix=None), 'prefix is None'),
        (dict(exclusive=[0, 1]), 'exclusive is 0'),
        (dict(exclusive=['01']), "exclusive is '01'"),
        (dict(exclusive=3), 'exclusive is 3'),
        (dict(exclusive=None), 'exclusive is None'),
        (dict(order=[[0, 1]]), r'order holds \[0, 1\]'),
        (dict(required=torch.tensor(1)), 'required is tensor'),
        (dict(required=torch.tensor([0.5])), 'required holds 0.5'),
        (dict(min_length=1.5), 'min_length is 1.5'),
        (dict(min_length='2'), "min_length is '2'"),
        (dict(min_length=None), 'min_length is None'),
        (dict(max_length=1.5), 'max_length is 1.5'),
        (dict(max_length='2'), "max_length is '2'"),
    ],
)
def test_wrong_types(options, named):
    with pytest.raises(UsageError, match=named) as caught:
        Constraints(**options).check(4)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('search', [beam, best_first])
def test_one_constraint_for_each_image_or_one_for_all(search):
    for count in (0, 2, 4):
        with pytest.raises(UsageError, match=f'{count} constraints for 3 images'):
            search(MODEL, constraints=[Constraints()] * count)


@pytest.mark.parametrize('search', [beam, best_first])
@pytest.mark.parametrize('groups', [[(0, 1), (1, 2), (2, 3), (0, 3)], [(0, 1, 2, 3)]])
def test_groups_that_leave_no_path(search, groups):
    """Not seen by the check: no three labels may go together. Found out by the search."""
    none = Constraints(exclusive=groups, min_length=3)
    with pytest.raises(UsageError, match=r'image 1 of the batch \(1 such images\)') as caught:
        search(MODEL, constraints=[Constraints(), none, Constraints()])
    assert not isinstance(caught.value, NonFiniteScoresError)
    with pytest.raises(UsageError, match=r'image 0 of the batch \(3 such images\)'):
        search(MODEL, constraints=none)


@pytest.mark.parametrize('search', [beam, best_first])
def test_paths_of_probability_zero_are_none(search):
    never = Tables([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.5, 0]])
    with pytest.raises(UsageError, match='no label path found for image 0'):
        search(never, constraints=Constraints(min_length=2))


# Models that give no numbers.
FINE = [[0, 0.5, 0.5], [0.3, 0, 0.7], [0, 0, 1], [0.5, 0.3, 0.2]]


def sets_of_two(*arguments, **options):
    return set_log_probs(*arguments, [[0, 1]] * len(arguments[2]), **options)


SEARCHES = {
    'beam': beam_search,
    'greedy': lambda *a, **o: beam_search(*a, beam_size=1, **o),
    'best-first': best_first_search,
    'set': sets_of_two,
}


@pytest.fixture(params=SEARCHES)
def search(request):
    return SEARCHES[request.param]


def run_broken(search, breaks, **options):
    """Search three images after ``breaks`` has changed the log-probabilities (3, V + 1, V)."""
    model = Tables(FINE, FINE, FINE)
    breaks(model.log_probs)
    return search(model.step, model.state(), model.starts(), 2, **options)


@pytest.mark.parametrize('options', [{}, {'constraints': Constraints(min_length=2)}])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_broken_model_is_an_error_that_names_the_image(search, value, options):
    with pytest.raises(NonFiniteScoresError, match='image 1 of the batch') as caught:
        run_broken(search, lambda scores: scores[1].fill_(value), **options)
    assert caught.value.images == [1]
    assert isinstance(caught.value, UsageError) and isinstance(caught.value, FloatingPointError)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('place', [0, 1, 2])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_any_single_score_counts(value, place):
    """One score of START's row, be it END's."""
    for name in ('beam', 'best-first'):
        with pytest.raises(NonFiniteScoresError) as caught:
            run_broken(SEARCHES[name], lambda scores: scores[2, 3, place].fill_(value))
        assert caught.value.images == [2]


@pytest.mark.parametrize('name', ['beam', 'greedy', 'best-first'])
def test_rows_without_any_probability_have_no_path(name):
    """-inf for all labels and END leaves nothing to go on with."""
    with pytest.raises(UsageError, match='no label path found for image 1 of the batch'):
        run_broken(SEARCHES[name], lambda scores: scores[1].fill_(-math.inf))


def test_several_broken_images(search):
    with pytest.raises(NonFiniteScoresError, match='image 0 of the batch .and 1 more') as caught:
        run_broken(search, lambda scores: scores[::2].fill_(math.nan))
    assert caught.value.images == [0, 2]


def test_model_that_breaks_on_the_way(search):
    """A state that overflows at the second step, where a candidate already exists."""
    with pytest.raises(NonFiniteScoresError) as caught:
        run_broken(search, lambda scores: scores[2, 0].fill_(math.nan))
    assert caught.value.images == [2]


def test_what_nobody_asks_for_may_be_broken():
    """A row behind a label that no search of these images comes to."""
    for name in ('beam', 'best-first'):
        limits = Constraints(forbidden=[1])
        run_broken(SEARCHES[name], lambda scores: scores[:, 1].fill_(math.nan), constraints=limits)


def test_finished_image_is_not_looked_at_again():
    """It stays in the batch until enough others are finished; what it would give is not asked."""

    def breaks(scores):
        scores[1] = torch.tensor([[math.nan] * 3, [math.nan] * 3, [0.0] * 3, [-2.0, -2.1, -0.3]])
        scores[[0, 2]] = torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 1], [0.9, 0.1, 0]]).log()

    for name in ('beam', 'greedy', 'best-first'):
        result = run_broken(SEARCHES[name], breaks, num_paths=1)
        assert result.lengths[:, 0].tolist() == [2, 0, 2]


def test_error_with_the_name_of_the_image():
    error = NonFiniteScoresError([4, 7, 9], 'cat.jpg')
    assert error.images == [4, 7, 9]
    assert 'cat.jpg' in str(error) and '2 more images' in str(error)
