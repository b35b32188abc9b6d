# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The search for export against the package's beam search, and what export needs of it."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import EndsAfterThree, ExactlyTwo, NeverRepeats, RecurrentModels, Tables
from reference import assert_same, beam, found_paths, run
from torch.utils._python_dispatch import TorchDispatchMode

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints
from cnnrnn_mm.search.fixed_beam_search import FixedBeamSearch


def fixed(model, max_labels, images=None, **options):
    """The result of the search for export."""

    def search(step, state, start, num_labels):
        return FixedBeamSearch(num_labels, max_labels, **options)(step, state, start)

    return run(search, model, images)


@st.composite
def cases(draw):
    """A model of three images, a length, sizes, and constraints that do not contradict each other.

    Seeds and scales of the model are drawn too, so paths end at any length.
    """
    num_labels = draw(st.integers(2, 6))
    labels = st.integers(0, num_labels - 1)
    kind = draw(st.sampled_from([RecurrentModels, NeverRepeats, EndsAfterThree]))
    options = dict(sharpness=draw(st.sampled_from([0.5, 2.0, 6.0])))
    options['end_bias'] = draw(st.sampled_from([-4.0, 0.0, 3.0]))
    model = kind(3, num_labels, seed=draw(st.integers(0, 10_000)), **options)
    names = draw(st.sets(st.sampled_from(['required', 'forbidden', 'exclusive', 'prefix'])))
    values = {}
    order = list(draw(st.permutations(range(num_labels))))
    shuffled = list(order)
    for name in sorted(names - {'exclusive'}):
        count = draw(st.integers(0, min(2, len(shuffled))))
        values[name], shuffled = shuffled[:count], shuffled[count:]
    if 'exclusive' in names and len(shuffled) >= 2:
        values['exclusive'] = [shuffled[:2]]
    if draw(st.booleans()):
        prefix = values.get('prefix', [])
        values['order'] = [*prefix, *(label for label in order if label not in prefix)]
    sizes = dict(beam_size=draw(st.integers(1, 7)))
    sizes['num_paths'] = draw(st.sampled_from([None, 1, 3, 9]))
    least = max(1, len(values.get('prefix', ())) + len(values.get('required', ())))
    max_labels = draw(st.integers(least, num_labels + 1))
    values['min_length'] = draw(st.integers(0, 1))
    limits = Constraints(**values)
    left = num_labels - len(limits.banned()) + len(limits.prefix)
    if values['min_length'] > left or draw(labels) == 0:
        limits = limits.merged(min_length=0)
    return model, max_labels, sizes, limits


@settings(max_examples=60)
@given(case=cases())
def test_equals_beam_search(case):
    """Paths, log-probabilities of every step, bounds, certificate and the prefixes expanded."""
    model, max_labels, sizes, limits = case
    result = fixed(model, max_labels, constraints=limits, **sizes)
    shorter = limits.merged(max_length=max_labels)
    try:
        expected = beam(model, constraints=shorter, **sizes)
    except UsageError as error:  # the beam found no path for an image
        assert 'no label path found' in str(error)
        assert bool((result.log_probs[:, 0] == -torch.inf).any())
        return
    for image in range(model.num_models):
        assert_same(result, image, expected, image, tolerance=1e-5)


@pytest.mark.parametrize('kind', [RecurrentModels, NeverRepeats, EndsAfterThree, ExactlyTwo])
def test_equals_beam_search_on_many_models(kind):
    """Images of a batch stop at different lengths; both searches count each alone."""
    model = kind(60, 5, seed=3, end_bias=torch.linspace(-3.0, 3.0, 60))
    expected = beam(model, beam_size=3)
    assert len(set(expected.expansions.tolist())) > (kind is not ExactlyTwo)
    result = fixed(model, 5, beam_size=3)
    for image in range(60):
        assert_same(result, image, expected, image, tolerance=1e-5)


def test_batch_of_one_equals_batch_of_many():
    model = RecurrentModels(12, 6, seed=8, end_bias=torch.linspace(-4.0, 2.0, 12))
    many = fixed(model, 4, beam_size=3)
    for image in range(12):
        assert_same(many, image, fixed(model, 4, [image], beam_size=3), 0, tolerance=1e-6)


def test_shapes_depend_on_the_options_alone():
    """Also where the best path is empty, and where there are fewer paths than were asked for."""
    table = [[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0, 0, 1], [0.5, 0.4, 0.1]]
    result = fixed(Tables(table, table), 2, beam_size=50, num_paths=7)
    assert result.paths.shape == result.totals.shape == (2, 7, 2)
    assert result.log_probs.shape == result.lengths.shape == (2, 7)
    assert sorted(found_paths(result, 0)) == [(), (0,), (0, 1), (1,), (1, 0)]
    assert bool((result.paths[:, 5:] == -1).all())
    assert result.log_probs[0, 5:].tolist() == [-torch.inf] * 2
    ends = [[0, 0.1, 0.9], [0.1, 0, 0.9], [0, 0, 1], [0.01, 0.02, 0.97]]
    empty = fixed(Tables(ends), 2, beam_size=4)
    assert empty.paths.shape == (1, 4, 2) and found_paths(empty, 0) == [()]
    longer = fixed(Tables(ends), 2, constraints=Constraints(prefix=[1]))
    assert longer.paths.shape == (1, 5, 2) and found_paths(longer, 0)[0] == (1,)
    assert float(longer.totals[0, 0, 0]) == 0.0


def test_length_is_a_limit():
    """A path of three labels is the best one; with room for two the best of those comes."""
    table = [[0, 1, 0, 0], [0, 0, 0.9, 0.1], [0, 0, 0, 1], [0, 0, 0, 1], [0.8, 0, 0, 0.2]]
    assert found_paths(fixed(Tables(table), 3), 0)[0] == (0, 1, 2)
    shorter = fixed(Tables(table), 2, num_paths=2)
    assert found_paths(shorter, 0) == [(), (0, 1)]
    assert shorter.log_probs.exp().flatten().tolist() == pytest.approx([0.2, 0.8 * 0.1])


def test_nothing_is_raised_where_there_is_no_path():
    """The host would have to look at the values for that."""
    model = Tables([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    result = fixed(model, 2, constraints=Constraints(required=[0]))
    assert result.log_probs.isneginf().all() and bool((result.paths == -1).all())
    broken = Tables([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1], [float('nan')] * 3])
    assert bool(fixed(broken, 2).log_probs.isnan().any())


class HostReads(TorchDispatchMode):
    """Names of operators that hand a value to the host, or whose shapes depend on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tags = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
        by_number = func is torch.ops.aten.index.Tensor and not any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        if any(tag in func.tags for tag in tags) and not by_number:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    'limits',
    [
        Constraints(),
        Constraints(order=[4, 3, 2, 1, 0], min_length=1, max_length=3),
        Constraints(required=[1, 2], forbidden=[0], prefix=[4], exclusive=[(1, 3)]),
    ],
)
def test_host_looks_at_no_value(limits):
    model = NeverRepeats(3, 5, seed=4)
    search = FixedBeamSearch(5, 4, constraints=limits)
    with HostReads() as reads:
        search(model.step, model.state(), model.starts())
    assert reads.found == []
    with HostReads() as reads:  # what the other search does, lest this watch sees nothing
        beam(model, constraints=limits)
    assert reads.found


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(max_labels=0), 'max_labels is 0'),
        (dict(max_labels=2, beam_size=0), 'beam_size is 0'),
        (dict(max_labels=2, num_paths=0), 'num_paths is 0'),
        (dict(max_labels=1, constraints=Constraints(required=[0, 1])), 'max_length is 1'),
        (dict(max_labels=1, constraints=Constraints(prefix=[0], required=[1])), 'max_length is 1'),
        (dict(max_labels=1, constraints=Constraints(min_length=2)), 'min_length is 2'),
        (dict(max_labels=1, constraints=Constraints(required=[9])), 'label 9'),
    ],
)
def test_options_out_of_range(options, named):
    with pytest.raises(UsageError, match=named):
        FixedBeamSearch(3, **options)


def test_more_labels_than_there_are():
    search = FixedBeamSearch(3, 50)
    assert search.max_labels == 3
    pairs = list(combinations(range(3), 2))
    assert FixedBeamSearch(3, 50, constraints=Constraints(exclusive=pairs)).max_labels == 3
