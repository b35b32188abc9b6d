# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search on hand-made transition tables: rows are labels, END, START; columns labels, END."""

import math

import pytest
import torch
from models import NeverRepeats, RecurrentModels, Tables
from reference import (
    FREE,
    assert_same,
    beam,
    check_shape_and_content,
    enumerate_paths,
    first_mentions,
    found_paths,
)

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints, beam_search, best_first_search, check_sizes

#: Ends at once with 0.6; would another image keep it alive, label 0 would gain 0.3 * 0.9.
SHORT = [[0, 0.1, 0.9], [0.9, 0, 0.1], [0, 0, 1], [0.1, 0.3, 0.6]]
#: Nothing ends before both labels are there.
LONG = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0.9, 0.1, 0]]
GREEDY_TRAP = [[0, 0.55, 0.45], [0, 0, 1], [0, 0, 1], [0.6, 0.4, 0]]


def probability(result, path=0):
    return float(result.log_probs[0, path].exp())


def test_each_image_stops_alone():
    """Stop when the first is done, or not before the last is: both would change a result here."""
    result = beam(Tables(SHORT, LONG), beam_size=2)
    assert found_paths(result, 0)[0] == ()
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.6)
    assert found_paths(result, 1)[0] == (0, 1)
    assert float(result.log_probs[1, 0].exp()) == pytest.approx(0.9)
    assert_same(result, 0, beam(Tables(SHORT), beam_size=2), 0)
    assert_same(result, 1, beam(Tables(LONG), beam_size=2), 0)


def test_single_best_path_leaves_nothing_to_a_neighbour():
    """With K = 1 the first image is certainly done after one step, whatever its neighbour does."""
    for tables in ((SHORT,), (SHORT, LONG), (LONG, SHORT), (LONG, SHORT, LONG)):
        result = beam(Tables(*tables), beam_size=2, num_paths=1)
        row = tables.index(SHORT)
        assert result.lower[row].tolist() == pytest.approx([0.1, 0.3])
        assert result.upper[row].tolist() == pytest.approx([0.4, 0.4])
        assert int(result.expansions[row]) == 1


def test_greedy_misses_what_a_beam_finds():
    greedy = beam(Tables(GREEDY_TRAP), beam_size=1)
    assert found_paths(greedy, 0) == [(0, 1)]
    assert probability(greedy) == pytest.approx(0.6 * 0.55)
    assert not bool(greedy.proven)
    found = beam(Tables(GREEDY_TRAP), beam_size=2)
    assert found_paths(found, 0) == [(1,), (0, 1)]
    assert bool(found.proven)


def test_end_must_be_among_the_best_tokens_to_make_a_candidate():
    """END is the third best token of the first step: two beams drop it, three keep it."""
    table = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.3, 0.2]]
    two, three = (beam(Tables(table), beam_size=b, num_paths=3) for b in (2, 3))
    assert () not in found_paths(two, 0)
    assert float(two.rest.exp()) == pytest.approx(0.2)
    assert found_paths(three, 0) == [(0,), (1,), ()]
    assert float(three.rest) == -math.inf


def test_end_wins_a_tie_with_labels():
    table = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]]
    for width in (1, 2, 3):
        result = beam(Tables(table), beam_size=width)
        assert found_paths(result, 0)[0] == ()
        assert bool(result.proven)  # what is as probable is not better


def test_equal_paths_come_once_each():
    table = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.5, 0]]
    result = beam(Tables(table), beam_size=4, num_paths=2)
    assert sorted(found_paths(result, 0)) == [(0,), (1,)]
    assert result.log_probs[0].exp().tolist() == pytest.approx([0.5, 0.5])


def test_stop_rule_counts_steps():
    """K = 1: no step is taken once no live path is more probable than the candidate."""
    chain = [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0.0, 0, 0, 1], [0, 0, 0, 1], [0.6, 0, 0, 0.4]]
    model = Tables(chain)
    # Step 1: END 0.4, live (0,) 0.6. Step 2: (0,) ends with 0.3, live (0, 1) 0.3 < 0.4: stop.
    result = beam(model, beam_size=2, num_paths=1)
    assert len(model.calls) == 2
    assert found_paths(result, 0) == [()]
    # A worse END lets it go on. Step 1: END 0.1, live 0.9. Step 2: (0,) ends with 0.45 and the
    # live (0, 1) has 0.45, not more: stop.
    chain[-1] = [0.9, 0, 0, 0.1]
    model = Tables(chain)
    result = beam(model, beam_size=2, num_paths=1)
    assert len(model.calls) == 2
    assert probability(result) == pytest.approx(0.45)
    # Once more with nothing at the second step: three steps.
    chain[0] = [0, 0.9, 0, 0.1]
    model = Tables(chain)
    result = beam(model, beam_size=2, num_paths=1)
    assert len(model.calls) == 3
    assert found_paths(result, 0) == [(0, 1)]
    assert probability(result) == pytest.approx(0.9 * 0.9 * 0.5)


def test_worst_kept_candidate_rules_the_stop():
    """K = 2: two candidates of 0.3 and 0.1 keep a live path of 0.2 going, one of 0.3 does not."""
    # START: END 0.3, label 0 0.7. (0,): END 1/7 (0.1), label 1 2/7 (0.2), rest to itself.
    table = [[4 / 7, 2 / 7, 1 / 7], [0, 0, 1], [0, 0, 1], [0.7, 0, 0.3]]
    one, two = Tables(table), Tables(table)
    assert found_paths(beam(one, beam_size=2, num_paths=1), 0) == [()]
    assert len(one.calls) == 2
    result = beam(two, beam_size=2, num_paths=2)
    assert len(two.calls) == 3
    assert found_paths(result, 0) == [(), (0, 1)]
    assert result.log_probs[0].exp().tolist() == pytest.approx([0.3, 0.2])


def test_what_the_model_is_fed():
    """START first; then labels only, as many rows as live paths, and a label never twice."""
    model = Tables(LONG, GREEDY_TRAP)
    beam(model, beam_size=2)
    assert model.calls[0] == [3, 3]
    assert sorted(model.calls[1][:2]) == sorted(model.calls[1][2:]) == [0, 1]
    assert all(0 <= token < 2 for call in model.calls[1:] for token in call)


@pytest.mark.parametrize('search', [beam_search, best_first_search])
def test_no_state_is_needed(search):
    table = torch.tensor(GREEDY_TRAP).log()
    starts = torch.full((3,), 3)
    result = search(lambda tokens, state: (table[tokens], state), (), starts, 2, num_paths=2)
    assert [found_paths(result, image) for image in range(3)] == [[(1,), (0, 1)]] * 3


@pytest.mark.parametrize('search', [beam_search, best_first_search])
def test_repeats_are_masked_not_merged(search):
    """A model that would say label 0 for ever: it comes once, and its probability stays 0.9."""
    model = Tables([[0.9, 0.04, 0.06], [0.9, 0.04, 0.06], [0, 0, 1], [0.9, 0.04, 0.06]])
    result = search(model.step, model.state(), model.starts(), 2, num_paths=3)
    assert all(len(set(path)) == len(path) for path in found_paths(result, 0))
    assert float(result.lower[0, 0]) >= 0.9 - 1e-6
    assert float(result.lower[0, 0]) <= 0.9 + 0.04 * 0.9 + 1e-6
    paths = dict(zip(found_paths(result, 0), result.log_probs[0].exp().tolist(), strict=True))
    assert paths[(0,)] == pytest.approx(0.9 * 0.06)  # not 0.9 * 0.06 / 0.1


@pytest.mark.parametrize(
    'search', [lambda *a, **k: beam_search(*a, beam_size=50, **k), best_first_search]
)
def test_more_paths_wanted_than_there_are(search):
    """Two labels have five paths; all come back once each and no filler."""
    model = Tables([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0, 0, 1], [0.5, 0.4, 0.1]])
    result = search(model.step, model.state(), model.starts(), 2, num_paths=50)
    found = found_paths(result, 0)
    assert sorted(found) == [(), (0,), (0, 1), (1,), (1, 0)]
    expected = {(): 0.1, (0,): 0.15, (0, 1): 0.05, (1,): 0.08, (1, 0): 0.072}
    for path, value in zip(found, result.log_probs[0].exp().tolist(), strict=False):
        assert value == pytest.approx(expected[path], abs=1e-6)
    assert result.paths.shape == (1, 50, 2)
    check_shape_and_content(result, model, 50)
    assert bool(result.proven) and float(result.rest) == -math.inf


@pytest.mark.parametrize('search', [beam_search, best_first_search])
def test_empty_path_is_a_result(search):
    model = Tables([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.1, 0.1, 0.8]])
    result = search(model.step, model.state(), model.starts(), 2, num_paths=1)
    assert result.paths.shape == result.totals.shape == (1, 1, 0)
    assert result.lengths.tolist() == [[0]]
    assert result.step_log_probs.exp().flatten().tolist() == pytest.approx([0.8])


def test_every_label_in_a_path():
    """END is forced when no label is left, whatever its rank."""
    table = [[0.5, 0.499, 0.001], [0.5, 0.499, 0.001], [0, 0, 1], [0.9, 0.099, 0.001]]
    result = beam(Tables(table), beam_size=1)
    assert found_paths(result, 0) == [(0, 1)]
    assert probability(result) == pytest.approx(0.9 * 0.499 * 0.001)


@pytest.mark.parametrize('search', [beam_search, best_first_search])
def test_one_label(search):
    model = Tables([[0.5, 0.5], [0, 1], [0.7, 0.3]])
    result = search(model.step, model.state(), model.starts(), 1, num_paths=3)
    assert found_paths(result, 0) == [(0,), ()]
    assert result.log_probs[0, :2].exp().tolist() == pytest.approx([0.35, 0.3])
    assert result.lower[0].tolist() == pytest.approx([0.7])
    assert result.upper[0].tolist() == pytest.approx([0.7])


def test_prefix_sum_is_the_probability_of_the_label():
    """Guards the claim itself: over prefixes or over whole paths, P(label in path) is the same."""
    model = NeverRepeats(10, 4, seed=22)
    truth = torch.zeros(10, 4, dtype=torch.float64)
    for path, log_prob in enumerate_paths(model).items():
        truth[:, list(path)] += log_prob.exp().unsqueeze(-1)
    torch.testing.assert_close(first_mentions(model), truth)


# Sizes.
@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(beam_size=0), 'beam_size is 0'),
        (dict(beam_size=-3), 'beam_size is -3'),
        (dict(num_paths=0), 'num_paths is 0'),
        (dict(constraints=Constraints(min_length=-1)), 'min_length is -1'),
        (dict(constraints=Constraints(min_length=3)), 'min_length is 3'),
        (dict(constraints=Constraints(min_length=2, max_length=1)), 'max_length is 1'),
        (dict(constraints=Constraints(max_length=-1)), 'max_length is -1'),
    ],
)
def test_options_out_of_range(options, named):
    with pytest.raises(UsageError, match=named):
        beam(Tables(LONG), **options)


@pytest.mark.parametrize('search', [beam_search, best_first_search])
def test_no_labels(search):
    with pytest.raises(UsageError, match='num_labels is 0'):
        search(lambda tokens, state: (tokens, state), (), torch.tensor([1]), 0)


def test_effective_sizes():
    assert check_sizes(5, None) == 5
    assert check_sizes(beam_size=2, num_paths=3) == 3
    assert check_sizes(num_paths=3, max_expansions=1) == 3
    with pytest.raises(UsageError, match='max_expansions is 0'):
        check_sizes(max_expansions=0)


def test_wide_models_and_the_free_constraint():
    """Hundreds of labels; ``Constraints()`` is the same as none."""
    model = RecurrentModels(4, 300, seed=3)
    result = beam(model, beam_size=7, num_paths=9)
    check_shape_and_content(result, model, 9)
    for image in range(4):
        assert_same(result, image, beam(model, beam_size=7, num_paths=9, constraints=FREE), image)
