# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.visualization.path_tree import build_path_tree, merge_chains


def plain(node):
    """(label or 'END', mass in percent, on the best path, children)."""
    mass = node.mass if node.mass is None else round(100 * node.mass, 6)
    name = 'END' if node.is_end else node.label
    return name, mass, node.on_best, [plain(child) for child in node.children]


def plain_chain(chain):
    labels = [*chain.labels, 'END'] if chain.ends else chain.labels
    return labels, round(100 * chain.mass, 6), [plain_chain(child) for child in chain.children]


def test_a_tree_worked_by_hand():
    paths = ['a', 'ba', 'bac', 'bc', '']
    root = build_path_tree(paths, [0.1, 0.3, 0.05, 0.2, 0.25])
    assert plain(root) == (
        None, 90, True, [
            ('b', 55, True, [
                ('a', 35, True, [
                    ('END', 30, True, []),
                    ('c', 5, False, [('END', 5, False, [])]),
                ]),
                ('c', 20, False, [('END', 20, False, [])]),
            ]),
            ('END', 25, False, []),
            ('a', 10, False, [('END', 10, False, [])]),
        ],
    )  # fmt: skip
    assert [plain_chain(one) for one in merge_chains(root)] == [
        (
            ['b'],
            55,
            [(['a'], 35, [(['END'], 30, []), (['c', 'END'], 5, [])]), (['c', 'END'], 20, [])],
        ),
        (['END'], 25, []),
        (['a', 'END'], 10, []),
    ]


def test_the_best_path_comes_first_even_through_less_mass():
    root = build_path_tree(['a', 'bc', 'bd'], [0.3, 0.2, 0.2])
    assert [(child.label, child.on_best) for child in root.children] == [('a', True), ('b', False)]
    tie = build_path_tree(['ab', 'ac'], [0.2, 0.2])
    assert [one.label for one in tie.children[0].children] == ['b', 'c']
    assert [one.on_best for one in tie.children[0].children] == [True, False]


def test_a_label_may_come_twice_in_a_path_and_end_is_no_label():
    root = build_path_tree([('a', 'a'), ('a',), (None,)], [0.4, 0.3, 0.2])
    assert plain(root)[3] == [
        ('a', 70, True, [('a', 40, True, [('END', 40, True, [])]), ('END', 30, False, [])]),
        (None, 20, False, [('END', 20, False, [])]),
    ]


def test_unknown_probabilities_and_no_path():
    root = build_path_tree(['ab', 'a'])
    assert plain(root) == (
        None, None, True, [
            ('a', None, True, [
                ('b', None, True, [('END', None, True, [])]),
                ('END', None, False, []),
            ])
        ],
    )  # fmt: skip
    assert plain(build_path_tree([], [])) == (None, 0, False, [])
    assert merge_chains(build_path_tree([])) == []


@pytest.mark.parametrize(
    ('paths', 'probs', 'message'),
    [
        (['a'], [0.1, 0.2], '2 probabilities for 1 paths'),
        (['a'], [1.5], 'probability 1.5 must be in 0 to 1'),
        (['a'], [math.nan], 'probability nan must be in 0 to 1'),
        (['ab', 'c', 'ab'], [0.1] * 3, r"path \['a', 'b'\] is given twice"),
    ],
)
def test_bad_input_is_named(paths, probs, message):
    with pytest.raises(UsageError, match=message):
        build_path_tree(paths, probs)


@given(
    st.sets(st.lists(st.integers(0, 3), max_size=5).map(tuple), min_size=1, max_size=12), st.data()
)
def test_masses_are_those_of_the_prefixes(paths, data):
    """Against the sum over all paths that start so; no path is lost, none is invented."""
    paths = sorted(paths)
    probs = data.draw(st.lists(st.floats(0, 1), min_size=len(paths), max_size=len(paths)))
    root = build_path_tree(paths, probs)
    ends = {}

    def walk(node, prefix):
        expected = [
            p for path, p in zip(paths, probs, strict=True) if path[: len(prefix)] == prefix
        ]
        if node.is_end:
            ends[prefix] = node.mass
            return
        assert node.mass == pytest.approx(sum(expected))
        assert len(node.children) == len({(one.is_end, one.label) for one in node.children})
        for child in node.children:
            walk(child, prefix if child.is_end else (*prefix, child.label))

    walk(root, ())
    assert ends == dict(zip(paths, probs, strict=True))
    best = paths[max(range(len(paths)), key=probs.__getitem__)]
    chains, found = merge_chains(root), []
    while chains:
        (first,) = [one for one in chains if one.on_best]
        assert first is chains[0]
        found += first.labels
        chains = first.children
    assert tuple(found) == best

    def spell(chains, prefix):
        for one in chains:
            assert one.ends or len(one.children) > 1  # else it would go on
            assert not (one.ends and one.children)
            yield from (
                [(*prefix, *one.labels)]
                if one.ends
                else spell(one.children, (*prefix, *one.labels))
            )

    assert sorted(spell(merge_chains(root), ())) == paths
