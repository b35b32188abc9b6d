# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Drawn label paths against the enumeration of all paths."""

import math
from functools import lru_cache
from itertools import combinations

import pytest
import torch
from models import NeverRepeats, RecurrentModels, Tables
from reference import enumerate_paths, meets

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints, NonFiniteScoresError
from cnnrnn_mm.search import sampling as module
from cnnrnn_mm.search.sampling import PathSamples, sample_paths

FREE = Constraints()


class Chain(RecurrentModels):
    """A chain of sigmoids in the order 0, 1, ..., whose logits depend on all labels found."""

    def state(self, images=None):
        state = super().state(images)
        return (torch.full((len(state[0]),), -1), *state)

    def step(self, tokens, state):
        last, memory, embedding, recurrent, output, bias = state
        last = torch.where(tokens < self.num_labels, tokens, -1)
        one = embedding[torch.arange(len(tokens)), tokens]
        memory = torch.tanh(one + torch.einsum('mij,mj->mi', recurrent, memory))
        logits = (torch.einsum('mvi,mi->mv', output, memory) + bias)[:, :-1]
        rows = []
        for logit, behind in zip(logits.sigmoid().tolist(), last.tolist(), strict=True):
            row, none = [0.0] * (self.num_labels + 1), 1.0
            for label in range(behind + 1, self.num_labels):
                row[label] = none * logit[label]
                none *= 1 - logit[label]
            rows.append([*row[:-1], none])
        log_probs = torch.tensor(rows, dtype=torch.float64).log()
        return log_probs, (last, memory, embedding, recurrent, output, bias)


def draw(model, images=None, **options) -> PathSamples:
    count = model.num_models if images is None else len(images)
    start = model.starts(count)
    return sample_paths(model.step, model.state(images), start, model.num_labels, **options)


@lru_cache
def toy(kind, count=6, num_labels=4, seed=5):
    model = kind(count, num_labels, seed, sharpness=1.0, end_bias=0.5)
    return model, enumerate_paths(model)


def truth_of(model, truth, limits):
    """By enumeration: P(set given constraints) of each set, (N, 2^C), and P(constraints)."""
    table = torch.zeros(model.num_models, 2**model.num_labels, dtype=torch.float64)
    for path, log_prob in truth.items():
        if meets(path, limits, model.num_labels):
            table[:, sum(1 << label for label in path)] += log_prob.exp()
    total = table.sum(1, keepdim=True)
    return table / total, total.squeeze(1)


def estimate_of(samples):
    """The same from samples: the weights of each set."""
    codes = (samples.sets.long() * 2 ** torch.arange(samples.sets.shape[-1])).sum(-1)
    table = torch.zeros(len(codes), 2 ** samples.sets.shape[-1], dtype=torch.float64)
    return table.scatter_add(1, codes, samples.weights)


def marginals_of(table, num_labels):
    codes = torch.arange(2**num_labels)
    return torch.stack([table[:, (codes >> c) & 1 == 1].sum(1) for c in range(num_labels)], 1)


CASES = [
    (Chain, FREE),
    (Chain, Constraints(order=range(4))),
    (Chain, Constraints(order=range(4), required=[2])),
    (Chain, Constraints(order=range(4), required=[1, 3])),
    (Chain, Constraints(order=range(4), forbidden=[1])),
    (Chain, Constraints(order=range(4), required=[2], forbidden=[0, 1])),
    (Chain, Constraints(required=[2], forbidden=[1])),
    (Chain, Constraints(order=range(4), prefix=[1], forbidden=[2])),
    (Chain, Constraints(order=range(4), min_length=2, max_length=3)),
    (RecurrentModels, FREE),
    (RecurrentModels, Constraints(required=[3], forbidden=[0])),
    (RecurrentModels, Constraints(order=[2, 0, 3, 1], required=[3])),
    (RecurrentModels, Constraints(exclusive=[(0, 1)], max_length=2)),
    (NeverRepeats, FREE),
    (NeverRepeats, Constraints(prefix=[2])),
    (NeverRepeats, Constraints(prefix=[2], required=[0], forbidden=[1])),
    (NeverRepeats, Constraints(min_length=2, max_length=2)),
]


@pytest.mark.parametrize('kind, limits', CASES)
def test_weighted_shares_of_sets_are_their_conditional_probabilities(kind, limits):
    """16384 samples, so the error of a share is below 0.4% and of the unweighted one far more."""
    model, truth = toy(kind)
    samples = draw(model, num_samples=16384, constraints=limits, seed=3)
    expected, evidence = truth_of(model, truth, limits)
    if not limits.prefix:  # what a model says of a prefix itself is not part of the weights
        torch.testing.assert_close(samples.log_evidence.exp(), evidence, atol=0.01, rtol=0.02)
    torch.testing.assert_close(estimate_of(samples), expected, atol=0.012, rtol=0)
    shares = marginals_of(expected, 4)
    torch.testing.assert_close(samples.marginals(False), shares, atol=0.012, rtol=0)
    torch.testing.assert_close(samples.marginals(), shares, atol=0.012, rtol=0)


def test_weights_matter():
    """The unweighted samples of a chain with a known absent label would give another answer."""
    model, truth = toy(Chain)
    limits = Constraints(order=range(4), required=[2], forbidden=[0])
    samples = draw(model, num_samples=16384, constraints=limits)
    shares = marginals_of(truth_of(model, truth, limits)[0], 4)
    unweighted = samples.sets.double().mean(1)
    assert float((unweighted - shares).abs().max()) > 0.05
    torch.testing.assert_close(samples.marginals(), shares, atol=0.012, rtol=0)
    assert not bool(samples.unweighted.any())


def test_weight_of_a_chain_is_the_probability_of_what_is_known():
    """Given the labels before: each sample's weight by hand, and no sample is lost."""
    model, _ = toy(Chain)
    limits = Constraints(order=range(4), required=[2], forbidden=[1])
    samples = draw(model, num_samples=64, constraints=limits)
    for image in range(model.num_models):
        for labels, log_weight in zip(samples.sets[image], samples.log_weights[image], strict=True):
            first = [0] if labels[0] else []
            state, tokens = model.state([image]), model.starts(1)
            for label in (None, *first):
                tokens = tokens if label is None else torch.tensor([label])
                steps, state = model.step(tokens, state)
            p = steps[0].exp()
            given = 1.0 if first else float(1 - p[0])
            # 1 absent and 2 there, given whether 0 is: p[2] holds "none in between" already.
            assert math.exp(log_weight) == pytest.approx(float(p[2]) / given, abs=1e-5)
    assert bool((samples.log_weights > -math.inf).all())


@pytest.mark.parametrize('kind', [Chain, NeverRepeats])
def test_sums_over_prefixes_have_no_bias_and_know_rare_labels(kind):
    model, truth = toy(kind)
    shares = marginals_of(truth_of(model, truth, FREE)[0], 4)
    mean = sum(draw(model, num_samples=8, seed=seed).expected for seed in range(300)) / 300
    torch.testing.assert_close(mean, shares, atol=0.025, rtol=0)
    # With no sample that holds a label its share is 0, the sum over prefixes never is.
    few = draw(model, num_samples=2)
    absent = few.marginals(False) == 0
    assert bool(absent.any()) and bool((few.marginals(True)[absent] > 0).all())
    assert bool((few.marginals()[absent] > 0).all())


def test_few_samples_have_no_bias_either():
    """Stratified draws: mean weight of a set over many seeds, five samples at a time."""
    model, truth = toy(NeverRepeats)
    limits = Constraints(forbidden=[0], required=[1])
    table, evidence = truth_of(model, truth, limits)
    total = torch.zeros_like(table)
    for seed in range(300):
        samples = draw(model, num_samples=5, constraints=limits, seed=seed)
        scale = samples.log_evidence.exp().unsqueeze(1)
        total += estimate_of(samples) * scale
    torch.testing.assert_close(total / 300, table * evidence.unsqueeze(1), atol=0.02, rtol=0)


def test_stratified_draws_scatter_less_than_independent_ones():
    model, truth = toy(Chain)
    shares = marginals_of(truth_of(model, truth, FREE)[0], 4)
    errors = [draw(model, num_samples=64, seed=s).marginals(False) - shares for s in range(200)]
    found = torch.stack(errors).square().mean(0)
    assert float((found / (shares * (1 - shares) / 64)).mean()) < 0.5


def test_marginals_take_the_sum_over_prefixes_only_where_it_is_valid():
    model, _ = toy(Chain)
    limits = [FREE, Constraints(order=range(4), required=[3]), Constraints(prefix=[0])] * 2
    samples = draw(model, constraints=limits, num_samples=32)
    assert samples.unweighted.tolist() == [True, False, True] * 2
    plain, sums, chosen = (samples.marginals(which) for which in (False, True, None))
    assert torch.equal(chosen[1], plain[1]) and torch.equal(chosen[4], plain[4])
    for image in (0, 2, 3, 5):
        rare = plain[image] < 0.5
        assert torch.equal(chosen[image], torch.where(rare, sums[image], plain[image]))
    assert not torch.equal(plain[0], sums[0])
    assert chosen[2, 0] == sums[2, 0] == 1 and chosen[1, 3] == pytest.approx(1)


@pytest.mark.parametrize('chunk', [None, 1])
def test_an_image_does_not_depend_on_its_batch(chunk, monkeypatch):
    if chunk is not None:
        monkeypatch.setattr(module, 'STEP_BYTES', chunk)
    model, _ = toy(NeverRepeats)
    limits = [FREE, Constraints(prefix=[1]), Constraints(required=[2]), FREE, FREE, FREE]
    together = draw(model, constraints=limits, num_samples=50)
    for image in range(6):
        alone = draw(model, [image], constraints=[limits[image]], num_samples=50)
        assert torch.equal(alone.sets[0], together.sets[image])
        for name in ('log_weights', 'expected'):
            one, other = getattr(alone, name)[0], getattr(together, name)[image]
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_seeds():
    model, _ = toy(RecurrentModels)
    torch.manual_seed(1)
    one = draw(model, seed=7)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two, other = draw(model, seed=7), draw(model, seed=8)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.sets, two.sets) and torch.equal(one.log_weights, two.log_weights)
    assert not torch.equal(one.sets, other.sets)


def test_distinct_prefixes_are_fed_once():
    """A step has a row for each distinct prefix drawn, not for each sample."""
    model = NeverRepeats(2, 3, seed=4)
    draw(model, num_samples=500)
    assert model.rows_fed[0] == 2
    for fed, most in zip(model.rows_fed[1:], (6, 12, 12), strict=False):
        assert fed <= most


def test_what_has_probability_zero_is_never_drawn():
    end = [0.0, 0.0, 1.0]
    model = Tables([end, end, end, [0.0, 1.0, 0.0]])
    samples = draw(model, num_samples=1000)
    assert bool((samples.sets == torch.tensor([False, True])).all())
    assert samples.marginals(True).tolist() == [[0.0, 1.0]]


def test_dead_ends_weigh_nothing():
    """Label 1 is required and comes after 0 alone; START goes to 0 or 2 or END."""
    end = [0.0, 0.0, 0.0, 1.0]
    model = Tables([[0, 0.5, 0, 0.5], end, end, end, [0.5, 0, 0.25, 0.25]])
    samples = draw(model, num_samples=400, constraints=Constraints(required=[1]))
    lost = samples.log_weights[0] == -math.inf
    assert 0 < int(lost.sum()) < 400
    held = samples.sets[0][~lost]
    assert bool((held == torch.tensor([True, True, False])).all())
    assert samples.marginals(False).tolist() == [pytest.approx([1.0, 1.0, 0.0])]
    assert float(samples.log_evidence.exp()) == pytest.approx(0.25, abs=0.01)
    assert float(samples.effective_sizes) == pytest.approx(int((~lost).sum()))


def test_weights_and_effective_size_by_hand():
    sets = torch.zeros(2, 2, 1, dtype=torch.bool)
    sets[:, 0] = True
    log_weights = torch.tensor([[0.75, 0.25], [0.0, 0.5]], dtype=torch.float64).log()
    samples = PathSamples(sets, log_weights, torch.full((2, 1), 1.5, dtype=torch.float64))
    assert samples.weights.tolist() == [pytest.approx([0.75, 0.25]), [0.0, 1.0]]
    assert samples.effective_sizes.tolist() == pytest.approx([1.6, 1.0])
    assert samples.marginals().flatten().tolist() == pytest.approx([0.75, 0.0])
    assert samples.marginals(True).tolist() == [[1.0], [1.0]]
    assert samples.log_evidence.exp().tolist() == pytest.approx([0.5, 0.25])


def test_no_images_and_sets_of_every_size():
    model, _ = toy(NeverRepeats)
    none = draw(model, [])
    assert none.sets.shape == (0, 256, 4) and none.marginals().shape == (0, 4)
    seen = {tuple(one.nonzero().flatten().tolist()) for one in draw(model).sets.flatten(0, 1)}
    assert seen == {one for size in range(5) for one in combinations(range(4), size)}


def test_errors():
    model, _ = toy(NeverRepeats)
    with pytest.raises(UsageError, match='num_samples is 0'):
        draw(model, num_samples=0)
    with pytest.raises(UsageError, match='5 constraints for 6 images'):
        draw(model, constraints=[FREE] * 5)
    impossible = Tables([[0.5, 0, 0.5]] * 4, [[0, 0.5, 0.5]] * 4)
    with pytest.raises(UsageError, match=r'image 1 of the batch \(1 such images\)'):
        draw(impossible, constraints=Constraints(required=[0]))
    table = [[0.5, 0.25, 0.25]] * 4
    for bad in (math.nan, math.inf):
        broken = Tables(table, [*table[:3], [bad, 0.5, 0.5]])
        with pytest.raises(NonFiniteScoresError) as error:
            draw(broken)
        assert error.value.images == [1]


def test_a_rare_known_label_costs_no_samples():
    """Weights spread as little as P(known label given those before), however rare it is."""
    rows = [[0.0] * 4 for _ in range(5)]
    rows[4] = [0.5, 0.5 * 0.001, 0.5 * 0.999 * 0.5, 0.5 * 0.999 * 0.5]  # START
    rows[0] = [0.0, 0.002, 0.998 * 0.5, 0.998 * 0.5]
    rows[1], rows[2], rows[3] = [0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]
    limits = Constraints(order=[0, 1, 2], required=[1])
    samples = draw(Tables(rows), num_samples=100, constraints=limits)
    held = samples.sets[0, :, 0]
    expected = torch.where(held, 0.002, 0.001).double()
    torch.testing.assert_close(samples.log_weights[0].exp(), expected, rtol=1e-5, atol=0)
    assert float(samples.effective_sizes) == pytest.approx(90.0, abs=1.0)
    assert samples.marginals().flatten().tolist() == pytest.approx([2 / 3, 1.0, 0.5], abs=0.02)
