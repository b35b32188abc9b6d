# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.region_fusion import FUSIONS, find_fusion, gates_of

SETTINGS = settings(max_examples=25, deadline=None)


@st.composite
def cases(draw):
    """Scores (B, X) and gates (B,), of which some may be those of padding."""
    regions, scores = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    number = st.floats(-20, 20, width=32)
    values = draw(st.lists(number, min_size=regions * scores, max_size=regions * scores))
    gates = draw(st.lists(st.floats(-9, 0, width=32), min_size=regions, max_size=regions))
    valid = [True, *draw(st.lists(st.booleans(), min_size=regions - 1, max_size=regions - 1))]
    values = torch.tensor(values, dtype=torch.float64).view(regions, scores)
    return values, gates_of(torch.tensor(gates, dtype=torch.float64), torch.tensor(valid))


def test_by_hand():
    scores = torch.tensor([[1.0, 4.0], [3.0, 0.0], [9.0, 9.0]])
    gates = gates_of(torch.tensor([0.0, -1.0, 0.0]), torch.tensor([True, True, False]))
    assert gates.tolist() == [0, -1, -math.inf]
    assert find_fusion('max')(scores, gates).tolist() == [2, 4]
    means = [(math.e + math.exp(2)) / 2, (math.exp(4) + math.exp(-1)) / 2]
    expected = torch.tensor([math.log(mean) for mean in means])
    torch.testing.assert_close(find_fusion('logsumexp')(scores, gates), expected)
    assert find_fusion('whole_and_max')(scores, gates).tolist() == [1.5, 4]


@pytest.mark.parametrize('name', FUSIONS)
@SETTINGS
@given(cases(), st.randoms())
def test_neither_padding_nor_the_order_counts(name, case, random):
    scores, gates = case
    fused = FUSIONS[name](scores, gates)
    assert fused.shape == scores.shape[1:] and fused.isfinite().all()
    there = gates.isfinite()
    torch.testing.assert_close(FUSIONS[name](scores[there], gates[there]), fused)
    torch.testing.assert_close(FUSIONS[name](scores.where(there.unsqueeze(1), 1e6), gates), fused)
    order = [0, *random.sample(range(1, len(gates)), len(gates) - 1)]  # 0 is the whole image
    torch.testing.assert_close(FUSIONS[name](scores[order], gates[order]), fused)


@SETTINGS
@given(cases())
def test_logsumexp_lies_below_the_maximum_by_at_most_the_log_of_the_regions(case):
    scores, gates = case
    most, mean = (FUSIONS[name](scores, gates) for name in ('max', 'logsumexp'))
    assert (mean <= most + 1e-9).all()
    assert (mean >= most - math.log(gates.isfinite().sum()) - 1e-9).all()


@pytest.mark.parametrize('name', ['max', 'logsumexp'])
@SETTINGS
@given(cases(), st.floats(-9, 0), st.integers(1, 5))
def test_equal_regions_are_one_and_a_gate_is_subtracted(name, case, gate, times):
    row = case[0][:1]
    fused = FUSIONS[name](row.expand(times, -1), row.new_full((times,), gate))
    torch.testing.assert_close(fused, row[0] + gate)


@pytest.mark.parametrize('name', FUSIONS)
@SETTINGS
@given(cases(), st.floats(0.125, 9))
def test_a_lower_gate_never_makes_louder(name, case, less):
    scores, gates = case
    lower = gates.clone()
    lower[0] -= less
    assert (FUSIONS[name](scores, lower) <= FUSIONS[name](scores, gates) + 1e-9).all()


def test_gradients_of_scores_and_gates():
    """The best region's alone, or each region's share; none of padding, and none that is NaN."""
    cases = dict(max=[[0, 1, 0]] * 2, logsumexp=[[0.25, 0.75, 0]] * 2)
    cases['whole_and_max'] = [[0.5, 0.5, 0], [0, 0.5, 0]]
    for name, (shares, of_gates) in cases.items():
        scores = torch.tensor([[0.0], [math.log(3)], [7.0]], requires_grad=True)
        log_gates = torch.zeros(3, requires_grad=True)
        gates = gates_of(log_gates, torch.tensor([True, True, False]))
        FUSIONS[name](scores, gates).sum().backward()
        torch.testing.assert_close(scores.grad, torch.tensor(shares).float().unsqueeze(1))
        torch.testing.assert_close(log_gates.grad, torch.tensor(of_gates).float())


def test_unknown_name():
    with pytest.raises(UsageError, match="fusion 'mean' is not known: choose one of max, logsum"):
        find_fusion('mean')
