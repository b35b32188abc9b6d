# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Memory of a search, and what its tensors may be used for."""

import weakref

import pytest
import torch
from models import RecurrentModels, Tables
from reference import found_paths
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from cnnrnn_mm.search import Constraints, beam_search, best_first_search, set_log_probs

IMAGES, BEAMS, LABELS = 64, 10, 1000


class Watch(TorchDispatchMode):
    """Counts large floating tensors that operators make, and the bytes alive at any time."""

    def __init__(self, least):
        super().__init__()
        self.least, self.large, self.alive, self.peak = least, [], {}, 0
        self.owners = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        inputs = {
            x.untyped_storage().data_ptr()
            for x in tree_leaves((args, kwargs or {}))
            if isinstance(x, torch.Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor):
                self.note(made, inputs, str(func))
        return result

    def note(self, made, inputs, name):
        storage = made.untyped_storage()
        place = storage.data_ptr()
        if place not in inputs:  # neither a view nor in place
            if made.is_floating_point() and made.numel() >= self.least:
                self.large.append(name)
            self.alive[place] = storage.nbytes()
        self.owners[place] = self.owners.get(place, 0) + 1
        weakref.finalize(made, self.drop, place)
        self.peak = max(self.peak, sum(self.alive.values()))

    def drop(self, place):
        self.owners[place] -= 1
        if self.owners[place] == 0:
            self.alive.pop(place, None)


def fake_step(calls):
    """Scores that differ by image and token, made where nobody watches."""
    columns = torch.linspace(0, 7, LABELS + 1).sin() * 3

    def step(tokens, state):
        calls.append(len(tokens))
        scores = (tokens.unsqueeze(-1) * 0.37 + state[0].unsqueeze(-1) + columns).sin() * 4
        return scores.log_softmax(-1), state

    def unwatched(tokens, state):
        with _disable_current_modes():
            return step(tokens, state)

    return unwatched


@pytest.mark.parametrize('most', [None, 4])
def test_large_tensors_of_a_beam_search(most):
    """Beyond what the model gives, two tensors of its size a step; well below a GiB in all."""
    calls = []
    state = (torch.arange(IMAGES, dtype=torch.float32),)
    starts = torch.full((IMAGES,), LABELS + 1)
    limits = Constraints(min_length=2 if most is None else most, max_length=most or 6)
    with Watch(IMAGES * BEAMS * LABELS) as watch:
        result = beam_search(
            fake_step(calls), state, starts, LABELS, beam_size=BEAMS, constraints=limits
        )
    full_steps = sum(rows == IMAGES * BEAMS for rows in calls)
    assert full_steps >= 2 and found_paths(result, 0)
    assert 0 < len(watch.large) <= 2 * full_steps, watch.large
    assert IMAGES * BEAMS * LABELS * 4 < watch.peak < 2**30 // 8


def test_memory_of_required_labels():
    """Two kinds of prefixes, twice the beam."""
    calls = []
    state = (torch.arange(IMAGES, dtype=torch.float32),)
    starts = torch.full((IMAGES,), LABELS + 1)
    limits = Constraints(required=[3, 700], max_length=4)
    with Watch(IMAGES * BEAMS * LABELS) as watch:
        beam_search(fake_step(calls), state, starts, LABELS, beam_size=BEAMS, constraints=limits)
    assert max(calls) <= 3 * IMAGES * BEAMS
    assert watch.peak < 2**30


# Tensors.
def searches():
    model = RecurrentModels(3, 4, seed=91)
    arguments = (model.step, model.state(), model.starts(), 4)
    return [
        lambda: beam_search(*arguments),
        lambda: beam_search(*arguments, constraints=Constraints(prefix=[1], required=[2])),
        lambda: best_first_search(*arguments, num_paths=2),
        lambda: best_first_search(*arguments, max_expansions=1, num_paths=2),
    ]


@pytest.mark.parametrize('outside', [False, True])
@pytest.mark.parametrize('number', range(4))
def test_results_are_normal_tensors(number, outside):
    """Changed in place and used in autograd, be the search itself in inference mode or not."""
    with torch.inference_mode(outside):
        result = searches()[number]()
    for name in ('paths', 'lengths', 'log_probs', 'totals', 'lower', 'upper', 'rest', 'expansions'):
        part = getattr(result, name)
        assert not part.is_inference() and not part.requires_grad, name
        if part.is_floating_point():
            scale = torch.ones_like(part, requires_grad=True)
            (part * scale).sum().backward()
            torch.testing.assert_close(scale.grad, part)
        part.add_(1)
    assert not result.step_log_probs.is_inference()


def test_parts_do_not_share_memory():
    """A change of one part in place shows in no other."""
    for search in searches():
        result = search()
        before = {name: getattr(result, name).clone() for name in ('log_probs', 'lower', 'totals')}
        result.rest.fill_(7)
        result.upper.fill_(7)
        result.lengths.fill_(7)
        for name, part in before.items():
            torch.testing.assert_close(getattr(result, name), part)


@pytest.mark.parametrize('double', [False, True])
def test_what_the_model_gives_is_not_written_to(double):
    """A step may give views of its own table, many rows of which are one and the same."""
    table = torch.randn(5, 4, generator=torch.Generator().manual_seed(92)).log_softmax(-1)
    table = table.double() if double else table
    kept, counts = table.clone(), torch.zeros(3, 2)

    def step(tokens, state):
        first = tokens[:1]
        return table[int(first)].expand(len(tokens), -1), state

    limits = Constraints(required=[1], forbidden=[0], min_length=2)
    starts = torch.full((3,), 4)
    for constraints in (None, limits, Constraints(prefix=[2])):
        beam_search(step, (counts,), starts, 3, constraints=constraints)
        best_first_search(step, (counts,), starts, 3, constraints=constraints)
    set_log_probs(step, (counts,), starts, 3, [(0, 1)] * 3)
    assert torch.equal(table, kept)
    assert torch.equal(counts, torch.zeros(3, 2)) and starts.tolist() == [4] * 3


def test_strided_scores():
    """Scores whose columns are not side by side in memory."""
    model = Tables([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0, 0, 1], [0.5, 0.4, 0.1]])

    def step(tokens, state):
        log_probs, state = model.step(tokens, state)
        return log_probs.T.contiguous().T, state

    for search in (beam_search, best_first_search):
        plain = search(model.step, model.state(), model.starts(), 2, num_paths=3)
        strided = search(step, model.state(), model.starts(), 2, num_paths=3)
        assert torch.equal(plain.paths, strided.paths)


def test_no_gradient_is_recorded():
    table = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.7, 0.3]]).log().requires_grad_()
    starts = torch.tensor([2])
    for search in (beam_search, best_first_search):
        result = search(lambda t, s: (table[t], s), (), starts, 1)
        assert not result.log_probs.requires_grad and not result.lower.requires_grad
    lower, _ = set_log_probs(lambda t, s: (table[t], s), (), starts, 1, [(0,)])
    assert not lower.requires_grad
