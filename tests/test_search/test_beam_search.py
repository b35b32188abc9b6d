# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search against brute-force enumeration and a plain implementation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NeverRepeats, RecurrentModels
from reference import (
    all_models,
    all_paths,
    assert_same,
    beam,
    check_shape_and_content,
    enumerated,
    found_paths,
    ranking,
    steps_of,
)

from cnnrnn_mm.search import Constraints


@all_models
def test_enumeration_is_right(models):
    """Guards the reference itself: P(path, END) by single steps, and a total of at most 1."""
    model, truth = enumerated(*models)
    assert len(truth) == len(all_paths(model.num_labels))
    for image, path in ((0, (2,)), (3, (1, 3, 0)), (model.num_models - 1, (3, 2, 1, 0))):
        assert sum(steps_of(model, image, path)) == pytest.approx(float(truth[path][image]))
    total = torch.stack(list(truth.values())).exp().sum(0)
    if isinstance(model, NeverRepeats):
        torch.testing.assert_close(total, torch.ones_like(total))
    else:
        assert bool((total < 1).all())


@pytest.mark.parametrize('num_paths', [1, 6])
@all_models
def test_wide_beam_finds_the_best_path(models, num_paths):
    model, truth = enumerated(*models)
    result = beam(model, beam_size=math.factorial(model.num_labels), num_paths=num_paths)
    assert result.paths.shape[:2] == (model.num_models, num_paths)
    assert bool(result.proven.all())
    for image in range(model.num_models):
        best, path = ranking(truth, image)[0]
        assert found_paths(result, image)[0] == path
        assert float(result.log_probs[image, 0]) == pytest.approx(best, abs=1e-5)


@all_models
def test_wide_beam_leaves_out_no_better_path(models):
    """What a wide beam returns is the head of the true ranking, without a gap."""
    model, truth = enumerated(*models)
    result = beam(model, beam_size=math.factorial(model.num_labels), num_paths=6)
    for image in range(model.num_models):
        found = found_paths(result, image)
        expected = ranking(truth, image)[: len(found)]
        assert found == [path for _, path in expected]
        log_probs = result.log_probs[image, : len(found)].tolist()
        assert log_probs == pytest.approx([value for value, _ in expected], abs=1e-5)


@pytest.mark.parametrize(('least', 'most'), [(2, None), (0, 2), (1, 3), (2, 2), (0, 0), (0, 99)])
@all_models
def test_length_limits(models, least, most):
    """The best path among those of allowed length; probabilities are not renormalised."""
    model, truth = enumerated(*models)
    limits = Constraints(min_length=least, max_length=most)
    width = math.factorial(model.num_labels)
    result = beam(model, beam_size=width, num_paths=1, constraints=limits)
    last = model.num_labels if most is None else most
    allowed = truth.where(lambda path: least <= len(path) <= last)
    for image in range(model.num_models):
        best, path = ranking(allowed, image)[0]
        assert found_paths(result, image) == [path]
        assert float(result.log_probs[image, 0]) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize('least', [0, 3])
@all_models
def test_beam_of_one_is_greedy(models, least):
    model, _ = enumerated(*models)
    result = beam(model, beam_size=1, constraints=Constraints(min_length=least))
    for image in range(model.num_models):
        path, total, state, tokens = [], 0.0, model.state([image]), model.starts(1)
        while True:
            log_probs, state = model.step(tokens, state)
            row = log_probs[0].tolist()
            allowed = [x for x in range(model.num_labels) if x not in path]
            if len(path) >= least:
                allowed.append(model.num_labels)
            token = max(allowed, key=row.__getitem__)
            total += row[token]
            if token == model.num_labels:
                break
            path.append(token)
            tokens = torch.tensor([token])
        assert found_paths(result, image) == [tuple(path)]
        assert float(result.log_probs[image, 0]) == pytest.approx(total, abs=1e-5)
        assert int(result.expansions[image]) == len(path) + 1


def plain_beam_search(model, image, beam_size, num_paths):
    """The rules of section 3.3 with tuples and dicts instead of tensors."""
    end = model.num_labels
    live = [((), 0.0, model.state([image]), model.starts(1))]
    finished, expansions, rest = [], 0, -math.inf
    lower, without = [0.0] * end, [0.0] * end
    while live:
        grown = []
        for path, score, state, tokens in live:
            expansions += 1
            log_probs, after = model.step(tokens, state)
            row = [-math.inf if x in path else v for x, v in enumerate(log_probs[0].tolist())]
            for label in range(end):
                lower[label] += math.exp(score + row[label])
                without[label] += math.exp(score + row[end]) * (label not in path)
                token = torch.tensor([label])
                grown.append(((*path, label), score + row[label], after, token))
            if end in sorted(range(end + 1), key=row.__getitem__)[-beam_size:]:
                finished.append((score + row[end], path))
            else:
                rest = max(rest, score + row[end])
        finished = sorted(finished, reverse=True)[:num_paths]
        grown = sorted(grown, key=lambda one: -one[1])
        live = [one for one in grown[:beam_size] if one[1] > -math.inf]
        rest = max([rest, *(one[1] for one in grown[beam_size:])])
        if live and finished and live[0][1] <= finished[-1][0]:
            break
    return finished, expansions, rest, lower, [1 - value for value in without]


@pytest.mark.parametrize(('beam_size', 'num_paths'), [(2, 2), (3, 1), (3, 5), (5, 5)])
@all_models
def test_narrow_beam_by_a_plain_implementation(models, beam_size, num_paths):
    model, _ = enumerated(*models)
    result = beam(model, beam_size=beam_size, num_paths=num_paths)
    for image in range(0, model.num_models, 4):
        finished, expansions, rest, lower, upper = plain_beam_search(
            model, image, beam_size, num_paths
        )
        assert found_paths(result, image) == [path for _, path in finished]
        log_probs = result.log_probs[image, : len(finished)].tolist()
        assert log_probs == pytest.approx([value for value, _ in finished], abs=1e-5)
        assert int(result.expansions[image]) == expansions
        assert float(result.rest[image]) == pytest.approx(rest, abs=1e-5)
        assert result.lower[image].tolist() == pytest.approx(lower, abs=1e-5)
        assert result.upper[image].tolist() == pytest.approx(upper, abs=1e-5)


# Batches.
@pytest.mark.parametrize(
    ('options', 'limits'), [({}, {}), ({'beam_size': 2}, {}), ({'beam_size': 3}, {'min_length': 2})]
)
def test_batch_equals_single_searches(options, limits):
    model, limits = RecurrentModels(32, 5, seed=11), Constraints(**limits)
    whole = beam(model, constraints=limits, **options)
    lengths = {len(found_paths(whole, image)[0]) for image in range(32)}
    assert len(lengths) > 1  # else the images would all stop together
    for image in range(32):
        alone = beam(model, [image], constraints=limits, **options)
        assert_same(alone, 0, whole, image)


def test_order_of_the_batch_does_not_matter():
    model = RecurrentModels(32, 5, seed=12)
    order = torch.randperm(32).tolist()
    whole, shuffled = beam(model, beam_size=4), beam(model, order, beam_size=4)
    for place, image in enumerate(order):
        assert_same(shuffled, place, whole, image)


def test_far_harder_neighbours_change_nothing():
    """Most of the batch is done long before the rest, so that it shrinks several times."""
    bias = torch.tensor([4.0] * 12 + [0.0] * 6 + [-8.0] * 6)
    model = RecurrentModels(24, 6, seed=13, end_bias=bias)
    whole = beam(model, beam_size=3)
    lengths = [len(found_paths(whole, image)[0]) for image in range(24)]
    assert min(lengths) == 0 and max(lengths) >= 4
    for image in range(24):
        assert_same(beam(model, [image], beam_size=3), 0, whole, image)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_scores_of_any_precision(dtype):
    """Sums are taken in single precision whatever the model gives."""
    model = RecurrentModels(8, 4, seed=14)

    def step(tokens, state):
        log_probs, state = RecurrentModels.step(model, tokens, state)
        return log_probs.bfloat16().to(dtype), state

    expected = beam(model)
    model.step = step
    result = beam(model)
    assert result.log_probs.dtype == result.lower.dtype == result.rest.dtype == torch.float32
    for image in range(8):
        steps = torch.tensor(steps_of(model, image, found_paths(result, image)[0])).bfloat16()
        total = float(steps.float().sum())
        assert float(result.log_probs[image, 0]) == pytest.approx(total, abs=1e-5)
    torch.testing.assert_close(result.log_probs[:, 0], expected.log_probs[:, 0], atol=0.1, rtol=0)


@st.composite
def searches(draw):
    num_labels = draw(st.integers(1, 5))
    least = draw(st.integers(0, num_labels))
    most = draw(st.none() | st.integers(least, num_labels + 2))
    sizes = dict(beam_size=draw(st.integers(1, 9)), num_paths=draw(st.none() | st.integers(1, 12)))
    kind = draw(st.sampled_from([RecurrentModels, NeverRepeats]))
    sharpness = draw(st.sampled_from([0.3, 1.0, 4.0]))
    model = kind(draw(st.integers(1, 3)), num_labels, draw(st.integers(0, 999)), sharpness)
    return model, sizes, Constraints(min_length=least, max_length=most)


@settings(max_examples=60)
@given(searches())
def test_properties_of_any_result(drawn):
    model, sizes, limits = drawn
    result = beam(model, constraints=limits, **sizes)
    check_shape_and_content(result, model, sizes['num_paths'] or sizes['beam_size'], limits)
