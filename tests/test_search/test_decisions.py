# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Decision rules against brute force over all label sets, and against scikit-learn."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import decisions as module
from cnnrnn_mm.search.decisions import (
    best_threshold,
    expected_f1_sets,
    expected_f1_sets_independent,
    threshold_sets,
)


def all_sets(num_labels):
    """(2^C, C) bool: by size, then by class ids."""
    rows = sorted(product([0, 1], repeat=num_labels), key=lambda row: (sum(row), [-x for x in row]))
    return torch.tensor(rows).bool()


def f1(one, other):
    """F1 of two sets, straight from its definition."""
    sizes = int(one.sum() + other.sum())
    return 1.0 if sizes == 0 else 2 * int((one & other).sum()) / sizes


def brute_force(sets, weights):
    """The first best set in the sequence of :func:`all_sets`, and its expected F1."""
    choices = all_sets(sets.shape[1])
    values = [
        sum(float(w) * f1(choice, one) for w, one in zip(weights, sets, strict=True))
        for choice in choices
    ]
    best = max(values)
    first = next(i for i, value in enumerate(values) if value >= best - 1e-12)
    return choices[first], best


def probabilities_of_sets(p):
    """Of each of :func:`all_sets`, for independent labels."""
    return torch.where(all_sets(len(p)), p, 1 - p).prod(1)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 12))
def test_best_set_under_samples(data, num_labels, num_samples):
    bits = st.lists(st.booleans(), min_size=num_labels, max_size=num_labels)
    sets = data.draw(st.lists(bits, min_size=num_samples, max_size=num_samples))
    whole = st.lists(st.integers(0, 5), min_size=num_samples, max_size=num_samples)
    weights = torch.tensor(data.draw(whole.filter(any)), dtype=torch.float64)
    sets = torch.tensor(sets)
    found, value = expected_f1_sets(sets.unsqueeze(0), weights.unsqueeze(0))
    expected, best = brute_force(sets, weights / weights.sum())
    assert torch.equal(found[0], expected)  # ties included
    assert float(value) == pytest.approx(best, abs=1e-10)


def test_best_set_of_random_distributions():
    """All 32 sets with random probabilities; the best set is often none of the likeliest labels."""
    generator = torch.Generator().manual_seed(11)
    sets = all_sets(5)
    logits = 2.5 * torch.randn(40, 32, generator=generator, dtype=torch.float64)
    weights = logits.softmax(-1)
    found, value = expected_f1_sets(sets.expand(40, -1, -1), weights)
    for image in range(40):
        expected, best = brute_force(sets, weights[image])
        assert torch.equal(found[image], expected)
        assert float(value[image]) == pytest.approx(best, abs=1e-12)
    marginals = weights @ sets.double()
    assert not torch.equal(found, marginals >= 0.5)


def test_sets_by_hand():
    """Three labels, each alone a third of the time: all three (1/2), not one (1/3)."""
    sets = torch.eye(3).bool().unsqueeze(0)
    found, value = expected_f1_sets(sets, torch.ones(1, 3))
    assert found.tolist() == [[True] * 3] and float(value) == pytest.approx(0.5)
    # Nothing at all in 6 of 10 samples: the empty set.
    sets = torch.zeros(1, 2, 2, dtype=torch.bool)
    sets[0, 1, 0] = True
    found, value = expected_f1_sets(sets, torch.tensor([[0.6, 0.4]]))
    assert not bool(found.any()) and float(value) == pytest.approx(0.6)
    # A tie of the empty set and {0}: the smaller one.
    found, value = expected_f1_sets(sets, torch.tensor([[1.0, 1.0]]))
    assert not bool(found.any()) and float(value) == 0.5
    # Labels 1 and 2 tie: the lower class id.
    sets = torch.tensor([[[False, True, False], [False, False, True], [False] * 3]])
    found, _ = expected_f1_sets(sets, torch.tensor([[0.4, 0.4, 0.2]]))
    assert found.tolist() == [[False, True, True]]
    sets = torch.tensor([[[False, True, True], [False, True, False], [False, False, True]]])
    only = expected_f1_sets(sets, torch.tensor([[0.0, 0.5, 0.5]]))[0]
    assert only.tolist() == [[False, True, True]]


@pytest.mark.parametrize('table_bytes', [2**26, 1])
def test_batch_of_one_and_of_many(table_bytes, monkeypatch):
    monkeypatch.setattr(module, 'TABLE_BYTES', table_bytes)
    generator = torch.Generator().manual_seed(2)
    sets = torch.rand(20, 30, 9, generator=generator) < torch.rand(20, 1, 9, generator=generator)
    weights = torch.rand(20, 30, generator=generator)
    probabilities = torch.rand(20, 9, generator=generator)
    monkeypatch.setattr(module, 'TABLE_BYTES', 2**26)
    alone = [expected_f1_sets(sets[i : i + 1], weights[i : i + 1]) for i in range(20)]
    single = [expected_f1_sets_independent(probabilities[i : i + 1]) for i in range(20)]
    monkeypatch.setattr(module, 'TABLE_BYTES', table_bytes)
    for together, one_by_one in (
        (expected_f1_sets(sets, weights), alone),
        (expected_f1_sets_independent(probabilities), single),
    ):
        assert torch.equal(together[0], torch.cat([one[0] for one in one_by_one]))
        torch.testing.assert_close(together[1], torch.cat([one[1] for one in one_by_one]))
    # Sequence of the samples and scale of the weights say nothing.
    turned = expected_f1_sets(sets.flip(1), 3 * weights.flip(1))
    assert torch.equal(turned[0], torch.cat([one[0] for one in alone]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.77, 0.999, 1.0]), min_size=1, max_size=5))
def test_best_set_of_independent_labels(values):
    p = torch.tensor(values, dtype=torch.float64)
    found, value = expected_f1_sets_independent(p.unsqueeze(0))
    expected, best = brute_force(all_sets(len(p)), probabilities_of_sets(p))
    assert torch.equal(found[0], expected)
    assert float(value) == pytest.approx(best, abs=1e-10)


def test_quadrature_is_exact_for_many_labels():
    """C = 260: the expected F1 of the set found, from convolved distributions of label counts."""
    generator = torch.Generator().manual_seed(3)
    p = torch.rand(3, 260, generator=generator, dtype=torch.float64) ** torch.tensor(
        [[1.0], [8.0], [60.0]]
    )
    found, value = expected_f1_sets_independent(p)

    def counts(probabilities):
        distribution = torch.ones(1, dtype=torch.float64)
        for one in probabilities:
            grown = torch.zeros(len(distribution) + 1, dtype=torch.float64)
            grown[:-1] += distribution * (1 - one)
            grown[1:] += distribution * one
            distribution = grown
        return distribution

    def expected_f1(row, k):
        ordered = row.sort(descending=True).values
        inside, outside = counts(ordered[:k]), counts(ordered[k:])
        a, b = torch.arange(len(inside)).unsqueeze(1), torch.arange(len(outside))
        table = torch.where(k + a + b > 0, 2 * a / (k + a + b).clamp(min=1), 1.0)
        return float(inside @ table.double() @ outside)

    for row, labels, best in zip(p, found, value.tolist(), strict=True):
        size = int(labels.sum())
        assert bool((row[labels].min() >= row[~labels].max()) if size else True)
        assert best == pytest.approx(expected_f1(row, size), abs=1e-6)
        assert all(expected_f1(row, k) <= best + 1e-6 for k in range(max(size - 3, 0), size + 4))


def test_both_rules_agree_on_independent_labels():
    p = torch.rand(30, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    weights = torch.stack([probabilities_of_sets(row) for row in p])
    found, value = expected_f1_sets(all_sets(5).expand(30, -1, -1), weights)
    other, other_value = expected_f1_sets_independent(p)
    assert torch.equal(found, other)
    torch.testing.assert_close(value, other_value)


def test_threshold_sets():
    scores = torch.tensor([[0.2, 0.5], [0.7, 0.4]])
    assert threshold_sets(scores, 0.5).tolist() == [[False, True], [True, False]]
    assert threshold_sets(scores, torch.tensor([0.2, 0.45])).tolist() == [
        [True, True],
        [True, False],
    ]


def reference_score(name, predicted, truth):
    predicted, truth = predicted.numpy(), truth.numpy()
    if name == 'O-F1':
        return f1_score(truth, predicted, average='micro', zero_division=0)
    if name == 'example-F1':
        return f1_score(truth.T, predicted.T, average=None, zero_division=1).mean()
    p, r, _, _ = precision_recall_fscore_support(truth, predicted, average='macro', zero_division=0)
    return 0.0 if p + r == 0 else 2 * p * r / (p + r)


@pytest.mark.parametrize('name', ['O-F1', 'C-F1', 'example-F1'])
@settings(max_examples=50, deadline=None)
@given(st.integers(2, 7), st.integers(2, 4), st.integers(0, 9999))
def test_best_threshold_against_scikit_learn(name, num_images, num_labels, seed):
    """Scores with ties; labels that are nowhere and images without any."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 8, (num_images, num_labels), generator=generator) / 8 - 0.3
    truth = torch.rand(num_images, num_labels, generator=generator) < 0.35
    thr, value = best_threshold(scores, truth, name)
    choices = [float('inf'), *sorted(set(scores.flatten().tolist()), reverse=True)]
    values = [reference_score(name, scores >= one, truth) for one in choices]
    assert value == pytest.approx(max(values), abs=1e-9)
    first = next(i for i, one in enumerate(values) if one >= max(values) - 1e-12)
    assert thr == choices[first]
    turned = torch.randperm(num_images, generator=generator)
    assert best_threshold(scores[turned], truth[turned], name) == pytest.approx((thr, value))


def test_errors():
    sets = torch.zeros(1, 2, 3, dtype=torch.bool)
    with pytest.raises(UsageError, match=r'weights \(1, 3\)'):
        expected_f1_sets(sets, torch.ones(1, 3))
    for bad in ([0.0, 0.0], [-1.0, 2.0], [float('nan'), 1.0]):
        with pytest.raises(UsageError, match='weights of samples'):
            expected_f1_sets(sets, torch.tensor([bad]))
    for bad in (1.5, -0.1, float('nan')):
        with pytest.raises(UsageError, match='not logits'):
            expected_f1_sets_independent(torch.tensor([[bad]]))
    scores = torch.tensor([[0.5, float('nan')]])
    with pytest.raises(UsageError, match='NaN'):
        best_threshold(scores, scores > 0)
    with pytest.raises(UsageError, match='give both as'):
        best_threshold(scores, torch.ones(1, 3).bool())
    with pytest.raises(UsageError, match="'F2' is not known"):
        best_threshold(torch.ones(1, 1), torch.ones(1, 1).bool(), 'F2')
