# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Best-first search with all the expansions it wants: the best paths, proven, in any batch."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NeverRepeats, RecurrentModels, Tables
from reference import (
    all_models,
    assert_same,
    best_first,
    check_shape_and_content,
    enumerate_paths,
    enumerated,
    found_paths,
    ranking,
)

MODULE = sys.modules['cnnrnn_mm.search.best_first_search']


def hard_models(count, num_labels, seed=5):
    """END is improbable until late, so the proof takes hundreds of expansions."""
    return RecurrentModels(count, num_labels, seed, sharpness=0.5, end_bias=-6)


def mixed_models():
    """Images 0..5 are easy, 6..8 middling, 9..11 hard."""
    bias = torch.tensor([3.0] * 6 + [0.0] * 3 + [-6.0] * 3)
    sharpness = torch.tensor([2.0] * 9 + [0.5] * 3)
    return RecurrentModels(12, 6, seed=17, sharpness=sharpness, end_bias=bias)


@pytest.mark.parametrize('num_paths', [1, 3])
@all_models
def test_best_paths_are_found_and_proven(models, num_paths):
    model, truth = enumerated(*models)
    result = best_first(model, num_paths=num_paths)
    assert result.log_probs.shape == (model.num_models, num_paths)
    assert bool(result.proven.all()) and bool((result.gaps == 0).all())
    for image in range(model.num_models):
        expected = ranking(truth, image)[:num_paths]
        assert found_paths(result, image) == [path for _, path in expected]
        values = result.log_probs[image].tolist()
        assert values == pytest.approx([value for value, _ in expected], abs=1e-5)


@settings(max_examples=40)
@given(
    st.sampled_from([RecurrentModels, NeverRepeats]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 9999),
    st.sampled_from([0.3, 1.0, 4.0]),
    st.sampled_from([-4.0, 0.0, 2.0]),
    st.integers(1, 8),
)
def test_properties_of_any_result(kind, num_labels, count, seed, sharpness, bias, num_paths):
    model = kind(count, num_labels, seed, sharpness, bias)
    result = best_first(model, num_paths=num_paths)
    check_shape_and_content(result, model, num_paths)
    truth = enumerate_paths(model)
    for image in range(count):
        expected = [value for value, _ in ranking(truth, image)][:num_paths]
        found = [value for value in result.log_probs[image].tolist() if value > -math.inf]
        assert found == pytest.approx([value for value in expected if value > -math.inf], abs=1e-5)


def test_every_path_in_order():
    """As many paths as there are: the whole ranking, and nothing is left open."""
    model = RecurrentModels(3, 4, seed=8)
    truth = enumerate_paths(model)
    result = best_first(model, num_paths=len(truth))
    for image in range(3):
        assert found_paths(result, image) == [path for _, path in ranking(truth, image)]
    assert result.rest.tolist() == result.log_probs[:, -1].tolist()
    assert result.expansions.tolist() == [len(truth)] * 3


@pytest.mark.parametrize('num_paths', [1, 4])
def test_expansions_are_rows_fed_to_the_model(num_paths):
    model = mixed_models()
    model.rows_fed.clear()
    result = best_first(model, num_paths=num_paths)
    assert int(result.expansions.sum()) == sum(model.rows_fed)
    assert len(model.rows_fed) < sum(model.rows_fed) / 12  # rounds, not single prefixes


def test_expansions_are_enough_and_not_everything():
    """A prefix that is more probable than the best path must have been expanded."""
    model = hard_models(6, 6)
    prefixes = enumerate_paths(model, labels_only=True)
    result = best_first(model)
    for image in range(6):
        best = float(result.log_probs[image, 0])
        needed = sum(float(value[image]) > best + 1e-5 for value in prefixes.values())
        assert needed <= int(result.expansions[image]) <= min(4 * needed + 8, len(prefixes))


# Batches.
@pytest.mark.parametrize('num_paths', [1, 3])
def test_result_is_the_same_in_any_batch(num_paths):
    model = mixed_models()
    whole = best_first(model, num_paths=num_paths)
    assert int(whole.expansions[:6].max()) * 20 < int(whole.expansions[9:].max())
    for image in range(12):
        alone = best_first(model, [image], num_paths=num_paths)
        assert_same(alone, 0, whole, image)
    order = [9, 3, 0, 11, 4, 7]
    part = best_first(model, order, num_paths=num_paths)
    for place, image in enumerate(order):
        assert_same(part, place, whole, image)


#: Labels 0 and 1 are the best beginnings and lead nowhere; label 2 is the best path.
DECOYS = [
    [0, 0.05, 0.05, 0.05, 0.45],
    [0.05, 0, 0.05, 0.05, 0.45],
    [0.05, 0.05, 0, 0.05, 0.9],
    [0.05, 0.05, 0.05, 0, 0.9],
    [0, 0, 0, 0, 1],
    [0.24, 0.23, 0.22, 0.21, 0.1],
]
#: Each beginning has continuations that are worth a look.
BUSY = [[0.31, 0.3, 0.2, 0.1, 0.09]] * 4 + [[0, 0, 0, 0, 1], [0.3, 0.25, 0.2, 0.15, 0.1]]


def test_rounds_that_open_nothing_are_no_end():
    """Decoys whose continuations can't win do not keep the open ones from being expanded."""
    result = best_first(Tables(DECOYS), max_expansions=5)
    assert found_paths(result, 0) == [(2,)]
    assert bool(result.proven)
    assert int(result.expansions) == 5  # START and all four labels, which 5 allows
    together = best_first(Tables(DECOYS, BUSY))
    assert_same(together, 0, best_first(Tables(DECOYS)), 0)


def test_hundreds_of_decoys():
    """400 beginnings, each more probable than any path; the last one's path is the best."""
    count = 400
    start = torch.linspace(1.02, 0.98, count) / count
    start = torch.cat([start / start.sum() * 0.999, torch.tensor([0.001])])
    ends = torch.full((count, 1), 0.35)
    ends[-1] = 0.9
    table = torch.cat([((1 - ends) / count).expand(-1, count), ends], 1)
    model = Tables(torch.cat([table, table[:1], start.unsqueeze(0)]).tolist())
    result = best_first(model)
    assert found_paths(result, 0) == [(count - 1,)]
    assert bool(result.proven)
    assert int(result.expansions) == 1 + count


# Rounds and steps.
def test_large_rounds():
    """More than a thousand expansions an image, in rounds of up to 256, by the whole ranking."""
    model = hard_models(2, 6, seed=6)
    model.rows_fed.clear()
    result = best_first(model, num_paths=40)
    assert int(result.expansions.min()) > 512
    assert max(model.rows_fed) == 2 * MODULE.WIDEST_ROUND
    truth = enumerate_paths(model)
    for image in range(2):
        expected = ranking(truth, image)[:40]
        values = result.log_probs[image].tolist()
        assert values == pytest.approx([value for value, _ in expected], abs=1e-5)
        assert bool(result.proven[image])


@pytest.mark.parametrize('largest', [1, 7 * 5])
def test_small_steps_change_nothing(monkeypatch, largest):
    """A round is cut into steps of LARGEST_STEP scores, at least one row each."""
    model = mixed_models()
    whole = best_first(model, num_paths=3)
    monkeypatch.setattr(MODULE, 'LARGEST_STEP', largest)
    model.rows_fed.clear()
    cut = best_first(model, num_paths=3)
    assert max(model.rows_fed) == max(largest // 7, 1)
    for image in range(12):
        assert_same(cut, image, whole, image)


def test_narrow_rounds_find_the_same(monkeypatch):
    """One prefix a round is textbook best-first search, with no more expansions than needed."""
    model = mixed_models()
    whole = best_first(model)
    monkeypatch.setattr(MODULE, 'WIDEST_ROUND', 1)
    single = best_first(model)
    assert bool((single.expansions <= whole.expansions).all())
    for image in range(12):
        leave_out = ('expansions', 'lower', 'upper', 'largest')
        assert_same(single, image, whole, image, leave_out=leave_out)
