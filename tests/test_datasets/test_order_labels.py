# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.datasets import PackInputs
from mmpretrain.models import ClsDataPreprocessor

from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.errors import UsageError

CLASSES = ['dog', 'cat', 'zebra', 'bird', 'ant']
#: Labels 1 and 3 are equally frequent.
COUNTS = [2, 5, 9, 5, 0]


def fitted(order, counts=COUNTS, classes=CLASSES, **options):
    transform = OrderLabels(order, **options)
    transform.fit(counts, classes)
    return transform


def arrange(transform, labels):
    return transform({'gt_label': labels})['gt_label'].tolist()


@pytest.mark.parametrize(
    ('order', 'options', 'expected'),
    [
        ('frequent_first', {}, [2, 1, 3, 0, 4]),
        ('rare_first', {}, [4, 0, 1, 3, 2]),
        ('alphabetical', {}, [4, 3, 1, 0, 2]),
        ('given', {'given': [3, 0, 4, 2, 1]}, [3, 0, 4, 2, 1]),
        ('given', {'given': ['cat', 'ant', 'dog', 'zebra', 'bird']}, [1, 4, 0, 2, 3]),
    ],
)
def test_orders_by_hand(order, options, expected):
    transform = fitted(order, **options)
    assert transform.sequence.tolist() == expected
    assert arrange(transform, [0, 1, 2, 3, 4]) == expected
    assert arrange(transform, [4, 3, 2, 1, 0]) == expected
    assert arrange(transform, [3, 2, 0]) == [label for label in expected if label in (0, 2, 3)]


def test_order_is_rank_not_sequence():
    """A sequence that is not its own inverse: [2, 0, 1] means label 2 first, then 0, then 1."""
    transform = fitted('given', [1, 1, 1], list('abc'), given=[2, 0, 1])
    assert arrange(transform, [0, 1]) == [0, 1]
    assert arrange(transform, [1, 2]) == [2, 1]
    assert arrange(transform, [0, 1, 2]) == [2, 0, 1]


@pytest.mark.parametrize('order', ['frequent_first', 'rare_first'])
def test_ties_are_ordered_by_class_id(order):
    """Many ties, else an unstable sort may pass."""
    transform = fitted(order, [3] * 100, None)
    assert transform.sequence.tolist() == list(range(100))


def test_fixed_random_is_one_order_of_the_seed():
    one, again, other = (
        fitted('fixed_random', [1] * 20, None, seed=seed).sequence.tolist() for seed in (1, 1, 2)
    )
    assert one == again != other
    assert sorted(one) == list(range(20)) and one != sorted(one)
    np.random.seed(7)
    np.random.rand(3)
    assert fitted('fixed_random', [9] * 20, None, seed=1).sequence.tolist() == one
    transform = fitted('fixed_random', [1] * 20, None, seed=1)
    assert arrange(transform, range(20)) == arrange(transform, range(20)) == one


def test_random_gives_every_permutation_about_equally_often():
    transform = OrderLabels('random')
    drawn = Counter(tuple(arrange(transform, [4, 0, 2])) for _ in range(1200))
    assert set(drawn) == set(permutations([0, 2, 4]))
    assert min(drawn.values()) > 130  # 200 each expected, standard deviation 13


def test_random_needs_no_fit_and_checks_labels_when_fitted():
    assert arrange(OrderLabels('random'), [9]) == [9]
    with pytest.raises(UsageError, match='label 9'):
        arrange(fitted('random'), [9])


FIXED = ['frequent_first', 'rare_first', 'alphabetical', 'fixed_random']


@given(
    st.sampled_from(FIXED),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.sets(st.integers(0, 5)).flatmap(
        lambda labels: st.tuples(*[st.permutations(sorted(labels))] * 2)
    ),
)
def test_result_depends_on_the_set_alone(order, counts, twice):
    one, other = twice
    transform = fitted(order, counts, list('fbdace'), seed=3)
    result = arrange(transform, one)
    assert result == arrange(transform, other)
    assert sorted(result) == sorted(one)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_random_neither_gains_nor_loses_labels(labels, count):
    assert sorted(arrange(OrderLabels('random'), labels[:count])) == sorted(labels[:count])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_frequent_first_has_falling_counts(counts):
    sequence = fitted('frequent_first', counts, None).sequence.tolist()
    assert sorted(sequence) == list(range(len(counts)))
    pairs = list(zip(sequence, sequence[1:], strict=False))
    assert all(counts[a] > counts[b] or (counts[a] == counts[b] and a < b) for a, b in pairs)
    reverse = fitted('rare_first', counts, None).sequence.tolist()
    pairs = list(zip(reverse, reverse[1:], strict=False))
    assert all(counts[a] < counts[b] or (counts[a] == counts[b] and a < b) for a, b in pairs)


@pytest.mark.parametrize('order', [*FIXED, 'random'])
def test_image_without_labels(order):
    result = fitted(order)({'gt_label': []})['gt_label']
    assert result.shape == (0,) and result.dtype == np.int64


@pytest.mark.parametrize('labels', [[3, 0], (3, 0), np.array([3, 0], np.int32), np.array([3, 0])])
def test_types_of_label_lists(labels):
    result = fitted('frequent_first')({'gt_label': labels})['gt_label']
    assert isinstance(result, np.ndarray) and result.dtype == np.int64
    assert result.tolist() == [3, 0]


def test_single_label_of_a_plain_dataset():
    assert arrange(fitted('frequent_first'), 3) == [3]


def test_other_keys_and_the_dataset_s_own_list_stay():
    labels = [0, 1, 2]
    results = {'gt_label': labels, 'img_path': 'a.jpg', 'img': np.zeros(3)}
    after = fitted('frequent_first')(results)
    assert labels == [0, 1, 2]
    assert after['img_path'] == 'a.jpg' and set(after) == {'gt_label', 'img_path', 'img'}


@pytest.mark.parametrize('order', FIXED)
def test_unfitted_is_an_error(order):
    with pytest.raises(UsageError, match=f"'{order}' was never fitted.*LabelOrderHook"):
        OrderLabels(order)({'gt_label': [0]})
    with pytest.raises(UsageError, match='never fitted'):
        OrderLabels(order)({'gt_label': []})


def test_stored_sequence_is_used():
    transform = OrderLabels('frequent_first')
    transform.set_sequence([1, 2, 0])
    assert arrange(transform, [0, 1, 2]) == [1, 2, 0]
    transform.fit([3, 2, 1])
    assert arrange(transform, [0, 1, 2]) == [0, 1, 2]


@pytest.mark.parametrize(
    ('labels', 'named'),
    [
        ([1, 7], 'label 7 of image cats/9.jpg .*0..4'),
        ([5], 'label 5 of image cats/9.jpg'),
        ([-1, 2], 'label -1 of image cats/9.jpg'),
        ([2, 0, 2], 'label 2 comes twice in image cats/9.jpg'),
    ],
)
def test_wrong_labels_name_value_and_image(labels, named):
    with pytest.raises(UsageError, match=named):
        fitted('frequent_first')({'gt_label': labels, 'img_path': 'cats/9.jpg'})


@pytest.mark.parametrize(
    ('given', 'named'),
    [
        (['cat', 'dgo', 'zebra', 'bird', 'ant'], "'dgo'"),
        (['cat', 'dog', 'zebra', 'bird'], '4 entries for 5 classes .*4'),
        (['cat', 'cat', 'zebra', 'bird', 'ant'], 'missing ids: .0'),
        ([0, 1, 2, 3, 5], 'missing ids: .4'),
        ([0, 1, 2, 3, 4, 4], '6 entries for 5'),
    ],
)
def test_wrong_given_orders_are_named(given, named):
    with pytest.raises(UsageError, match=named):
        fitted('given', given=given)


def test_given_ids_of_numpy():
    """As a user computes them."""
    assert fitted('given', given=np.array([3, 0, 4, 2, 1])).sequence.tolist() == [3, 0, 4, 2, 1]


def test_wrong_options():
    with pytest.raises(UsageError, match="'frequent' is not known"):
        OrderLabels('frequent')
    with pytest.raises(UsageError, match="'given' must list"):
        OrderLabels('given')
    with pytest.raises(UsageError, match=r'given=\[1, 0\]'):
        OrderLabels('rare_first', given=[1, 0])


def test_alphabetical_without_names():
    with pytest.raises(UsageError, match='needs class names'):
        fitted('alphabetical', classes=None)


def test_one_task_of_many():
    transform = fitted('frequent_first', task='things')
    results = {'gt_label': {'kind': 3, 'things': [0, 1, 2]}}
    before = results['gt_label']
    after = transform(results)['gt_label']
    assert after['things'].tolist() == [2, 1, 0] and after['kind'] == 3
    assert before['things'] == [0, 1, 2]  # the dataset's own dict
    without = {'kind': 1}
    assert transform({'gt_label': without})['gt_label'] == without


def test_task_with_a_plain_label_list_is_an_error():
    """Else the labels would stay in no order at all, without a word."""
    with pytest.raises(UsageError, match='things'):
        fitted('frequent_first', task='things')({'gt_label': [0, 1, 2], 'img_path': 'a.jpg'})


def test_label_dict_without_a_task_is_an_error():
    with pytest.raises(UsageError, match='task'):
        fitted('frequent_first')({'gt_label': {'things': [0, 1, 2]}, 'img_path': 'a.jpg'})


def test_order_survives_packing_and_preprocessing():
    transform, pack = fitted('frequent_first'), PackInputs()
    preprocessor = ClsDataPreprocessor(num_classes=5)
    lists, expected = [[0, 3, 2], [], [4, 1]], [[2, 3, 0], [], [1, 4]]
    packed = []
    for labels in lists:
        image = np.zeros((4, 4, 3), np.uint8)
        packed.append(pack(transform({'gt_label': labels, 'img': image, 'img_path': 'a.jpg'})))
    data = {key: [one[key] for one in packed] for key in ('inputs', 'data_samples')}
    samples = preprocessor(data, training=True)['data_samples']
    assert [sample.gt_label.tolist() for sample in samples] == expected
    assert all(sample.gt_label.dtype == torch.int64 for sample in samples)
