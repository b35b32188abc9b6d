# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The prefix trie against a model that is run anew for each path."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import RecurrentModels
from reference import FREE, assert_same, found_paths

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import (
    Constraints,
    PrefixTrie,
    beam_search,
    best_first_search,
    set_log_probs,
)

MODULUS = 1_000_003


def vector_of(path):
    """What the toy model gives behind a path: exact whole numbers, so any mix-up shows."""
    memory = 1
    for token in path:
        memory = (memory * 31 + token + 7) % MODULUS
    return [memory % 997.0, memory % 1009.0]


class Toy:
    """Expands paths and counts the rows."""

    def __init__(self, num_tokens, max_bytes=2**20):
        self.rows = []
        self.trie = PrefixTrie(
            num_tokens,
            torch.zeros(1, 2),
            (torch.ones(1, 1, dtype=torch.long),),
            self.expand,
            max_bytes,
        )

    def expand(self, tokens, state):
        self.rows.append(len(tokens))
        memory = (state[0] * 31 + tokens.unsqueeze(-1) + 7) % MODULUS
        return torch.cat([memory % 997, memory % 1009], 1).float(), (memory,)

    def walk(self, nodes, tokens):
        return self.trie.advance(torch.as_tensor(nodes), torch.as_tensor(tokens))


def check(toy, nodes, paths):
    assert toy.trie.vectors(nodes).tolist() == [vector_of(path) for path in paths]


@settings(max_examples=100)
@given(st.data(), st.integers(1, 4), st.booleans(), st.sampled_from([1, 200, 500, 900, 2**20]))
def test_random_walks(data, num_tokens, keep_all, max_bytes):
    """Batches of steps from nodes that a search may still use, new searches in between."""
    toy = Toy(num_tokens, max_bytes)
    trie, expanded = toy.trie, 0
    for _ in range(data.draw(st.integers(1, 4))):
        trie.begin(keep_all)
        assert trie.num_bytes <= max_bytes or trie.num_nodes == 1
        frontier, visited = [(0, ())], {(): 0}
        for _ in range(data.draw(st.integers(1, 6))):
            choice = st.tuples(st.integers(0, len(frontier) - 1), st.integers(0, num_tokens - 1))
            picks = data.draw(st.lists(choice, min_size=1, max_size=6))
            paths = [(*frontier[index][1], token) for index, token in picks]
            before = trie.lookups, trie.hits
            found = toy.walk([frontier[i][0] for i, _ in picks], [token for _, token in picks])
            check(toy, found, paths)
            assert trie.lookups - before[0] == len(picks)
            new = sum(toy.rows) - expanded
            expanded += new
            assert new <= len(set(paths))
            assert len(picks) - (trie.hits - before[1]) >= new
            if keep_all:
                for path, node in zip(paths, found.tolist(), strict=True):
                    assert visited.setdefault(path, node) == node
                frontier = [(node, path) for path, node in visited.items()]
                nodes = torch.tensor([node for node, path in frontier if path])
                check(toy, nodes, [path for _, path in frontier if path])
            else:
                frontier = [(0, ()), *zip(found.tolist(), paths, strict=True)]
            assert trie.num_nodes >= len({node for node, _ in frontier})
        if max_bytes == 2**20:
            assert trie.evictions == 0


def test_nothing_is_expanded_twice():
    """Neither twice in a batch nor again in a later one, nor in a later search."""
    toy = Toy(5)
    toy.trie.begin()
    first = toy.walk([0, 0, 0, 0], [4, 1, 4, 4])
    assert toy.rows == [2]
    assert len(set(first.tolist())) == 2
    second = toy.walk(first, [1, 1, 1, 2])
    assert toy.rows == [2, 3]
    check(toy, second, [(4, 1), (1, 1), (4, 1), (4, 2)])
    for _ in range(3):
        toy.trie.begin()
        assert toy.walk([0, 0, 0, 0], [4, 1, 4, 4]).tolist() == first.tolist()
        assert toy.walk(first, [1, 1, 1, 2]).tolist() == second.tolist()
    assert toy.rows == [2, 3]
    toy.walk(first, [1, 3, 1, 2])
    assert toy.rows == [2, 3, 1]
    assert toy.trie.num_nodes == 1 + 2 + 3 + 1


def test_counters():
    toy = Toy(5)
    trie = toy.trie
    toy.walk([0, 0, 0], [1, 1, 2])
    assert (trie.lookups, trie.hits, trie.evictions) == (3, 0, 0)
    toy.walk([0, 0, 0], [1, 3, 2])
    assert (trie.lookups, trie.hits, trie.evictions) == (6, 2, 0)
    toy.walk([0], [3])
    assert (trie.lookups, trie.hits, trie.evictions) == (7, 3, 0)


def test_clear():
    toy = Toy(5)
    toy.walk(toy.walk([0, 0], [1, 2]), [3, 4])
    empty = Toy(5).trie.num_bytes
    assert toy.trie.num_nodes == 5 and toy.trie.num_bytes > empty
    toy.trie.clear()
    assert toy.trie.num_nodes == 1 and toy.trie.num_bytes == empty
    check(toy, toy.walk(toy.walk([0], [2]), [4]), [(2, 4)])
    assert toy.rows == [2, 2, 1, 1]


@pytest.mark.parametrize('keep_all', [False, True])
def test_evictions_make_room(keep_all):
    """Short searches that each find room at the cost of those before."""
    toy = Toy(50, max_bytes=4000)
    trie = toy.trie
    for start in range(200):
        trie.begin(keep_all)
        path = [(start + step * 7) % 50 for step in range(6)]
        nodes = torch.tensor([0])
        for place, token in enumerate(path):
            nodes = toy.walk(nodes, [token])
            check(toy, nodes, [path[: place + 1]])
        assert trie.num_bytes <= 4000 * 1.5
    assert trie.evictions > 50
    assert 6 < trie.num_nodes < 100
    # The last search is still there.
    count = len(toy.rows)
    trie.begin(keep_all)
    toy.walk([0], [path[0]])
    assert len(toy.rows) == count


def test_what_was_used_last_stays():
    """A path that every search uses outlives the others, and beginnings outlive ends."""
    toy = Toy(1000, max_bytes=6000)
    for number in range(300):
        toy.trie.begin()
        nodes = toy.walk([0, 0], [1, number + 10])
        nodes = toy.walk(nodes, [2, 3])
        toy.walk(nodes, [4, 5])
    assert toy.trie.evictions > 0
    count = sum(toy.rows)
    # (1), (1, 2), (1, 2, 4) once each, and three of each other path: expanded just once.
    assert count == 3 + 3 * 300


def test_search_that_outgrows_the_room():
    """All that it needs stays, and the next search starts anew within the bound."""
    toy = Toy(30, max_bytes=1500)
    trie = toy.trie
    trie.begin(keep_all=True)
    first = toy.walk([0] * 30, list(range(30)))
    second = toy.walk(first, [7] * 30)
    check(toy, first, [(token,) for token in range(30)])
    check(toy, second, [(token, 7) for token in range(30)])
    assert trie.num_bytes > 1500 and trie.num_nodes == 61 and trie.evictions == 0
    trie.begin()
    assert trie.num_bytes <= 1500 and trie.num_nodes == 1
    check(toy, toy.walk([0], [3]), [(3,)])


@pytest.mark.parametrize('max_bytes', [0, -1])
def test_no_room_at_all(max_bytes):
    with pytest.raises(UsageError, match=f'trie has {max_bytes} bytes'):
        Toy(3, max_bytes)


@pytest.mark.parametrize('inside', [True, False])
def test_made_and_used_on_both_sides_of_inference_mode(inside):
    """What one side keeps, the other side reads, adds to, and may record gradients with."""
    with torch.inference_mode(inside):
        toy = Toy(9, max_bytes=700)
    for turn in range(12):
        with torch.inference_mode(bool(turn % 2) == inside):
            toy.trie.begin()
            nodes = toy.walk(toy.walk([0, 0], [turn % 9, 3]), [turn * 2 % 9, turn % 7])
            check(toy, nodes, [(turn % 9, turn * 2 % 9), (3, turn % 7)])
    assert toy.trie.evictions > 0
    with torch.inference_mode(False):
        scale = torch.ones(2, requires_grad=True)
        (toy.trie.vectors(toy.walk([0, 0], [1, 2])) * scale).sum().backward()
        assert scale.grad is not None


def test_one_token():
    toy = Toy(1)
    nodes = torch.tensor([0])
    for length in range(1, 20):
        nodes = toy.walk(nodes, [0])
        check(toy, nodes, [(0,) * length])
    assert toy.trie.num_nodes == 20


# Searches.
class TrieModels(RecurrentModels):
    """The recurrent part is one for all images; an image adds its own shift to the scores."""

    def __init__(self, num_models, num_labels, seed, max_bytes, end_bias=0.0):
        super().__init__(num_models, num_labels, seed, end_bias=end_bias)
        generator = torch.Generator().manual_seed(seed + 1)
        self.shift = torch.randn(num_models, num_labels + 1, generator=generator).double()
        self.one = [weight[:1] for weight in self.weights]
        self.trie = None
        if max_bytes is not None:
            size = (num_labels + 1, self.size)
            root = (torch.zeros(1, size[0]).double(), (torch.zeros(1, size[1]).double(),))
            self.trie = PrefixTrie(num_labels + 2, *root, self.expand, max_bytes)

    def expand(self, tokens, state):
        rest = (weight.expand(len(tokens), *weight.shape[1:]) for weight in self.one)
        log_probs, state = RecurrentModels.step(self, tokens, (state[0], *rest))
        return log_probs, (state[0],)

    def state(self, images=None, keep_all=False):
        images = torch.arange(self.num_models) if images is None else torch.tensor(images)
        if self.trie is None:
            return (images, torch.zeros(len(images), self.size).double())
        self.trie.begin(keep_all)
        return (images, torch.zeros_like(images))

    def step(self, tokens, state):
        if self.trie is None:
            scores, (memory,) = self.expand(tokens, state[1:])
        else:
            memory = self.trie.advance(state[1], tokens)
            scores = self.trie.vectors(memory)
        return (scores + self.shift[state[0]]).log_softmax(-1), (state[0], memory)


LIMITS = [
    Constraints(prefix=[3, 1]),
    Constraints(prefix=[0, 2, 4, 1]),
    Constraints(required=[2]),
    FREE,
    Constraints(order=range(5), min_length=3),
    Constraints(prefix=[4], exclusive=[(0, 1, 2)]),
    FREE,
    Constraints(prefix=[2, 1, 0, 3, 4]),
]


@pytest.mark.parametrize('max_bytes', [1, 700, 1500, 3000, 2**24])
@pytest.mark.parametrize('constraints', [None, LIMITS], ids=['free', 'limits'])
def test_searches_through_a_trie(max_bytes, constraints):
    """The same as without it, search after search, however little it holds."""
    plain = TrieModels(8, 5, 95, None, end_bias=-1.5)
    stored = TrieModels(8, 5, 95, max_bytes, end_bias=-1.5)
    arguments = [(m.step, m.starts(), m) for m in (plain, stored)]
    for _ in range(2):
        for options in (dict(beam_size=1), dict(beam_size=5), dict(beam_size=3, num_paths=9)):
            one, other = (
                beam_search(step, m.state(), starts, 5, constraints=constraints, **options)
                for step, starts, m in arguments
            )
            for image in range(8):
                assert_same(one, image, other, image)
        for options in (dict(num_paths=4), dict(max_expansions=3)):
            one, other = (
                best_first_search(
                    step, m.state(keep_all=True), starts, 5, constraints=constraints, **options
                )
                for step, starts, m in arguments
            )
            for image in range(8):
                assert_same(one, image, other, image)
                assert found_paths(one, image)
        sets = [(0, 1, 2, 3, 4)] * 8
        limits = constraints and [Constraints(prefix=one.prefix) for one in constraints]
        one, other = (
            set_log_probs(step, m.state(), starts, 5, sets, limits, max_prefixes=50)
            for step, starts, m in arguments
        )
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    if max_bytes == 2**24:
        assert stored.trie.evictions == 0 and stored.trie.hits > stored.trie.lookups / 2
        assert sum(stored.rows_fed) < sum(plain.rows_fed) / 5
    elif max_bytes > 1:
        assert stored.trie.evictions > 0
