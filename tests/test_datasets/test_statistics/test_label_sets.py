# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.datasets.statistics import (
    co_occurrence,
    count_sets,
    expected_set_sizes,
    frequent_first,
    label_matrix,
    order_labels,
    set_sizes,
)

LABELS = [[2, 0], [], [2], [1, 2], [0, 2], []]

label_lists = st.lists(st.lists(st.integers(0, 5), unique=True), min_size=1, max_size=20)


def split(ids, offsets):
    return [ids[a:b].tolist() for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def test_a_case_by_hand():
    matrix = label_matrix(LABELS, 4)
    assert matrix.toarray().tolist() == [
        [1, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 1, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 0],
    ]
    together = co_occurrence(matrix)
    assert together.tolist() == [[2, 0, 2, 0], [0, 1, 1, 0], [2, 1, 4, 0], [0, 0, 0, 0]]
    sequence = frequent_first(together.diagonal())
    assert sequence.tolist() == [2, 0, 1, 3]
    ids, offsets = order_labels(matrix, sequence)
    assert split(ids, offsets) == [[2, 0], [], [2], [2, 1], [2, 0], []]
    assert count_sets(ids, offsets) == [((2, 0), 2), ((), 2), ((2,), 1), ((2, 1), 1)]
    assert set_sizes(matrix).tolist() == [2, 1, 3]


def test_images_without_any_label():
    matrix = label_matrix([[], []], 3)
    assert co_occurrence(matrix).tolist() == [[0] * 3] * 3
    assert count_sets(*order_labels(matrix, [0, 1, 2])) == [((), 2)]
    assert set_sizes(matrix).tolist() == [2]


@settings(max_examples=40)
@given(label_lists, st.permutations(range(6)))
def test_all_images_are_ordered_as_the_transform_orders_one(labels, sequence):
    order = OrderLabels('fixed_random')
    order.set_sequence(sequence)
    ids, offsets = order_labels(label_matrix(labels, 6), sequence)
    expected = [order(dict(gt_label=one))['gt_label'].tolist() for one in labels]
    assert split(ids, offsets) == expected
    assert dict(count_sets(ids, offsets)) == Counter(map(tuple, expected))


@settings(max_examples=40)
@given(label_lists)
def test_counts_equal_a_loop(labels):
    together = co_occurrence(label_matrix(labels, 6))
    for a, b in product(range(6), repeat=2):
        assert together[a, b] == sum(a in one and b in one for one in labels)
    assert set_sizes(label_matrix(labels, 6)).tolist() == [
        sum(len(one) == size for one in labels) for size in range(max(map(len, labels)) + 1)
    ]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_equal_counts_are_ordered_as_the_transform_orders_them(counts):
    order = OrderLabels('frequent_first')
    order.fit(counts)
    assert frequent_first(counts).tolist() == order.sequence.tolist()
    assert frequent_first(counts).tolist() == sorted(range(len(counts)), key=lambda i: -counts[i])


def test_expected_set_sizes_are_the_sum_over_all_sets():
    shares = [0.5, 0.1, 0.9, 0.3]
    brute = np.zeros(5)
    for there in product((0, 1), repeat=4):
        brute[sum(there)] += np.prod(
            [share if one else 1 - share for share, one in zip(shares, there, strict=True)]
        )
    np.testing.assert_allclose(expected_set_sizes(shares, 5), brute, atol=1e-12)
    shortened = expected_set_sizes(shares, 3)
    assert shortened == pytest.approx([brute[0], brute[1], brute[2:].sum()])
