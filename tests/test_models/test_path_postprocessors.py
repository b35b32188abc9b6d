# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What both postprocessors write into a sample, with tables worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import BeamSearchPostprocessor, BestFirstPostprocessor
from cnnrnn_mm.registry import MODELS
from cnnrnn_mm.search import NonFiniteScoresError

C = 3
#: Rows: labels 0, 1, 2, END, START. Columns: labels 0, 1, 2, END. Its seven paths: () 0.2,
#: (0,) 0.08, (0, 2) 0.02, (1,) 0.3, (1, 0) 0.24, (1, 0, 2) 0.06, (2,) 0.1.
PATHS = [
    [0.0, 0.0, 0.2, 0.8],
    [0.5, 0.0, 0.0, 0.5],
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0, 1.0],
    [0.1, 0.6, 0.1, 0.2],
]
#: P(label in set) of that table.
MARGINALS = [0.08 + 0.02 + 0.24 + 0.06, 0.6, 0.02 + 0.06 + 0.1]
#: Two orders of {0, 1}: (0, 1) 0.6 * 0.7 * 0.8 and (1, 0) 0.3 * 0.2 * 0.3.
ORDERS = [
    [0.0, 0.7, 0.0, 0.3],
    [0.2, 0.0, 0.0, 0.8],
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0, 1.0],
    [0.6, 0.3, 0.0, 0.1],
]
#: Greedy goes by (0,) to (0, 2) 0.5 * 0.6; the best path is (1,) 0.4.
TRAP = [
    [0.0, 0.0, 0.6, 0.4],
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0, 1.0],
    [0.5, 0.4, 0.0, 0.1],
]
SEARCHES = {'beam': BeamSearchPostprocessor, 'best first': BestFirstPostprocessor}
BOTH = pytest.mark.parametrize('search', SEARCHES)


def step_of(tables):
    log_probs = torch.as_tensor(tables).log()

    def step(tokens, state):
        return log_probs[state[0], tokens], state

    return step, (torch.arange(len(tables)),)


def decode(search, *tables, samples=None, **options):
    return SEARCHES[search](len(tables[0][0]) - 1, **options)(*step_of(tables), samples)


@BOTH
def test_fields(search):
    (sample,) = decode(search, PATHS, num_paths=3)
    assert sample.pred_label.tolist() == [1] and sample.pred_label.dtype == torch.int64
    assert sample.pred_paths == [[1], [1, 0], []]
    assert sample.pred_path_log_probs.exp().tolist() == pytest.approx([0.3, 0.24, 0.2])
    assert sample.pred_step_log_probs.exp().tolist() == pytest.approx([0.6, 0.5])
    assert sample.pred_proven is True and sample.pred_gap == 0.0
    for name in ('pred_score', 'pred_score_lower', 'pred_score_upper'):
        assert sample.get(name).shape == (C,) and sample.get(name).dtype == torch.float32
    assert 'pred_set_log_prob_lower' not in sample and 'pred_set_log_prob_upper' not in sample


def test_bounds_after_two_expansions():
    """Best-first expands (), then (1,); what ended by then holds neither 0 nor 2."""
    (sample,) = decode('best first', PATHS)
    assert sample.pred_score_lower.tolist() == pytest.approx([0.1 + 0.6 * 0.5, 0.6, 0.1])
    assert sample.pred_score_upper.tolist() == pytest.approx([1 - 0.2 - 0.3, 1 - 0.2, 1 - 0.5])
    # Halfway from the lower bound to the largest step probability: 0 after 1, the others at once.
    assert sample.pred_score.tolist() == pytest.approx([(0.4 + 0.5) / 2, 0.6, 0.1])


def test_score_stays_within_the_bounds():
    """Label 1 is sure after label 0, which is improbable; everything is known after (0,)."""
    table = [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0.1, 0, 0, 0.9]]
    (sample,) = decode('best first', table, num_paths=2)
    assert sample.pred_score_lower.tolist() == pytest.approx([0.1, 0.1, 0])
    assert sample.pred_score_upper.tolist() == pytest.approx([0.1, 0.1, 0], abs=1e-6)
    assert sample.pred_score.tolist() == pytest.approx([0.1, 0.1, 0])


@BOTH
def test_bounds_close_where_everything_was_expanded(search):
    options = dict(beam_size=20) if search == 'beam' else dict(num_paths=20)
    (sample,) = decode(search, PATHS, **options)
    assert len(sample.pred_paths) == 7 == len(sample.pred_path_log_probs)
    assert float(sample.pred_path_log_probs.exp().sum()) == pytest.approx(1)
    assert sample.pred_score_lower.tolist() == pytest.approx(MARGINALS, abs=1e-6)
    assert sample.pred_score_upper.tolist() == pytest.approx(MARGINALS, abs=1e-6)


@BOTH
@pytest.mark.parametrize(
    'constraints',
    [
        dict(required=[2]), dict(forbidden=[1]), dict(min_length=2), dict(max_length=1),
        dict(exclusive=[(0, 1)]), dict(order=[2, 1, 0]), dict(required=[0], forbidden=[2]),
    ],
    ids=str,
)  # fmt: skip
def test_bounds_hold_whatever_the_constraints(search, constraints):
    (sample,) = decode(search, PATHS, constraints=constraints)
    for label in range(C):
        lower, upper = float(sample.pred_score_lower[label]), float(sample.pred_score_upper[label])
        assert 0 <= lower <= MARGINALS[label] + 1e-6 and MARGINALS[label] - 1e-6 <= upper <= 1
    for label in constraints.get('required', ()):
        assert float(sample.pred_score[label]) == 1 and label in sample.pred_label
        assert float(sample.pred_score_lower[label]) < 1  # certified, not asked for
    for label in constraints.get('forbidden', ()):
        assert float(sample.pred_score[label]) == 0 and label not in sample.pred_label
        assert float(sample.pred_score_upper[label]) > 0


@BOTH
def test_prefix(search):
    (sample,) = decode(search, PATHS, constraints=dict(prefix=[1]))
    assert sample.pred_paths[0] == [1]
    assert float(sample.pred_path_log_probs[0].exp()) == pytest.approx(0.5)
    assert sample.pred_step_log_probs.exp().tolist() == pytest.approx([1, 0.5])
    for name in ('pred_score', 'pred_score_lower', 'pred_score_upper'):
        assert float(sample.get(name)[1]) == 1
    assert float(sample.pred_score[0]) == pytest.approx(0.5)  # given the prefix
    (sample,) = decode(search, PATHS, constraints=dict(prefix=[0, 2]))
    assert sample.pred_label.tolist() == [0, 2] and sample.pred_step_log_probs.tolist() == [0, 0, 0]


def test_greedy_search_is_not_proven_and_says_by_how_much():
    (sample,) = decode('beam', TRAP, beam_size=1)
    assert sample.pred_paths == [[0, 2]]
    assert sample.pred_proven is False
    assert sample.pred_gap == pytest.approx(math.log(0.4 / 0.3))
    (sample,) = decode('beam', TRAP, beam_size=2)
    assert sample.pred_label.tolist() == [1] and sample.pred_proven is True
    (sample,) = decode('best first', TRAP)
    assert sample.pred_label.tolist() == [1] and sample.pred_proven is True
    assert sample.pred_gap == 0


def test_best_first_search_that_may_expand_the_empty_path_alone():
    (sample,) = decode('best first', PATHS, max_expansions=1)
    assert sample.pred_paths == [[]] and sample.pred_proven is False
    assert sample.pred_gap == pytest.approx(math.log(0.6 / 0.2))
    assert sample.pred_score_lower.tolist() == pytest.approx([0.1, 0.6, 0.1])
    assert sample.pred_score_upper.tolist() == pytest.approx([0.8] * 3)


def test_steps_beside_an_image_that_spent_its_budget():
    """The second image has no path within its budget and gets a longer one from a beam."""
    even = [[0.25] * 4] * 5
    post = BestFirstPostprocessor(C, max_expansions=2)
    first, second = post(*step_of([PATHS, even]), constraints=[{}, dict(min_length=3)])
    assert first.pred_label.tolist() == [1] and len(second.pred_label) == 3
    assert first.pred_step_log_probs.exp().tolist() == pytest.approx([0.6, 0.5])
    assert second.pred_step_log_probs.exp().tolist() == pytest.approx([0.25] * 4)
    assert second.pred_proven is False and second.pred_gap >= 0


@BOTH
def test_probability_of_the_set(search):
    """The sum over both orders, whichever was found."""
    (sample,) = decode(search, ORDERS, set_log_prob=True)
    assert sample.pred_label.tolist() == [0, 1]
    both = [sample.pred_set_log_prob_lower, sample.pred_set_log_prob_upper]
    assert both == pytest.approx([math.log(0.336 + 0.018)] * 2)
    assert all(isinstance(bound, float) for bound in both)
    first, second = decode(search, PATHS, ORDERS, set_log_prob=True)
    assert first.pred_set_log_prob_lower == pytest.approx(math.log(0.3))
    assert second.pred_set_log_prob_lower == pytest.approx(math.log(0.354))


@BOTH
@pytest.mark.parametrize(
    ('constraints', 'expected'),
    [
        (dict(prefix=[0]), 0.7 * 0.8),
        (dict(prefix=[1], min_length=2), 0.2 * 0.3),
        (dict(order=[0, 1, 2]), 0.336),
        (dict(order=[1, 0, 2], required=[0, 1]), 0.018),
        (dict(max_length=0), 0.1),
    ],
    ids=str,
)
def test_probability_of_the_set_under_constraints(search, constraints, expected):
    (sample,) = decode(search, ORDERS, set_log_prob=True, constraints=constraints)
    assert sample.pred_set_log_prob_lower == pytest.approx(math.log(expected))
    assert sample.pred_set_log_prob_upper == pytest.approx(math.log(expected))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 8]))
def test_best_first_finds_what_a_wide_beam_finds(seed, num_paths):
    """A beam may keep fewer paths than asked for, but those it keeps are worth the same."""
    tables = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(-1)
    for constraints in (None, dict(required=[1], max_length=3), dict(exclusive=[(0, 2, 3)])):
        options = dict(num_paths=num_paths, constraints=constraints)
        wide = BeamSearchPostprocessor(4, beam_size=200, **options)(*step_of(tables))
        best = BestFirstPostprocessor(4, **options)(*step_of(tables))
        for one, other in zip(best, wide, strict=True):
            count = len(other.pred_paths)
            assert one.pred_paths[:count] == other.pred_paths
            torch.testing.assert_close(one.pred_path_log_probs[:count], other.pred_path_log_probs)
            assert one.pred_proven and other.pred_proven
            assert bool((one.pred_score_lower <= other.pred_score_upper + 1e-6).all())
            assert bool((other.pred_score_lower <= one.pred_score_upper + 1e-6).all())


@BOTH
def test_scores_that_are_not_finite_name_the_photo(search):
    broken = [[math.nan] * 4] * 5
    photos = [DataSample(metainfo=dict(img_path=f'{name}.jpg')) for name in 'abc']
    with pytest.raises(NonFiniteScoresError, match=r'scores for b\.jpg: ') as caught:
        decode(search, PATHS, broken, PATHS, samples=photos)
    assert caught.value.images == [1] and isinstance(caught.value, UsageError)
    with pytest.raises(NonFiniteScoresError, match=r'b\.jpg \(and 1 more images\)'):
        decode(search, PATHS, broken, broken, samples=photos)
    for samples in (None, [None] * 3, [photos[0], DataSample(), None]):
        with pytest.raises(NonFiniteScoresError, match='scores for image 1 of the batch: '):
            decode(search, PATHS, broken, PATHS, samples=samples)


def test_photo_is_named_where_the_budget_was_spent_before():
    """The second image has no path within its budget, and then scores that are not finite."""
    broken = [[math.nan] * 4, *PATHS[1:]]
    photos = [DataSample(metainfo=dict(img_path=f'{name}.jpg')) for name in 'ab']
    post = BestFirstPostprocessor(C, max_expansions=1)
    limits = [{}, dict(min_length=1)]
    with pytest.raises(NonFiniteScoresError, match=r'scores for b\.jpg: ') as caught:
        post(*step_of([PATHS, broken]), photos, constraints=limits)
    assert caught.value.images == [1]


@pytest.mark.parametrize('name', ['BeamSearchPostprocessor', 'BestFirstPostprocessor'])
def test_both_are_built_by_name(name):
    constraints = dict(order='training', forbidden=[1], exclusive=[[0, 2]])
    cfg = dict(type=name, num_classes=C, num_paths=2, constraints=constraints, set_log_prob=True)
    post = MODELS.build(cfg)
    assert type(post).__name__ == name and post.set_log_prob
    assert post.revisits is (name == 'BestFirstPostprocessor')
    post.set_training_order('frequent_first', [2, 0, 1])
    post(*step_of([PATHS]), constraints=dict(required=[0]))
    assert constraints == dict(order='training', forbidden=[1], exclusive=[[0, 2]])
    assert cfg['constraints'] is constraints


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(max_expansions=0), 'max_expansions is 0'),
        (dict(num_paths=0), 'num_paths is 0'),
        (dict(constraints=dict(min_length=4)), 'min_length is 4'),
    ],
)
def test_options_of_best_first_search_are_checked_when_built(options, named):
    with pytest.raises(UsageError, match=named):
        BestFirstPostprocessor(C, **options)
