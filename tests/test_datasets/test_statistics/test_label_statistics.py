# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from cnnrnn_mm.datasets.statistics import (
    HeldOutGain,
    co_occurrence,
    count_label_statistics,
    count_sets,
    frequent_first,
    label_matrix,
    label_verdicts,
    order_labels,
)
from cnnrnn_mm.datasets.statistics.report import label_report

CLASSES = ['bus', 'cat', 'dog', 'person']
#: person 5, cat 4, dog 2, bus 0; one empty set.
LABELS = [[3, 1], [1, 3], [], [3], [1, 2], [3, 2, 1], [3]]


def test_a_case_by_hand():
    statistics = count_label_statistics(LABELS, CLASSES)
    assert statistics.num_images == 7 and statistics.num_labels == 11
    assert statistics.counts.tolist() == [0, 4, 2, 5]
    assert statistics.names(statistics.sequence) == ['person', 'cat', 'dog', 'bus']
    assert statistics.set_sizes.tolist() == [1, 2, 3, 1]
    assert statistics.sets == [((3, 1), 2), ((3,), 2), ((), 1), ((1, 2), 1), ((3, 1, 2), 1)]
    assert statistics.empty_share == 1 / 7
    assert statistics.several_share == 4 / 7
    assert statistics.unique_share == 3 / 7
    assert statistics.gain is None  # fewer than two images a fold
    independent = [4 / 7, 2 / 7, 5 / 7]
    nothing = np.prod([1 - share for share in independent])
    assert statistics.expected_set_sizes[0] == pytest.approx(7 * nothing)
    assert statistics.expected_set_sizes.sum() == pytest.approx(7)


def test_sizes_that_were_not_seen_are_left_out_of_the_expected_ones():
    statistics = count_label_statistics([[0], [1]], ['a', 'b'])
    assert statistics.set_sizes.tolist() == [0, 2]
    assert statistics.expected_set_sizes.tolist() == [0.5, 1.0]  # and 0.5 images with both


def test_report_is_json_and_says_the_same():
    statistics = count_label_statistics(3 * LABELS, CLASSES)
    report = json.loads(json.dumps(label_report(statistics), allow_nan=False))
    assert [one['class'] for one in report['classes']] == ['person', 'cat', 'dog', 'bus']
    assert report['classes'][0] == dict(
        id=3, images=15, share=pytest.approx(15 / 21), **{'class': 'person'}
    )
    assert report['num_labels'] == 33 and report['distinct_sets'] == 5
    assert report['common_sets'][0] == dict(ids=[3, 1], classes=['person', 'cat'], images=6)
    assert report['images_with_both'] == [[1, 2, 6], [1, 3, 9], [2, 3, 3]]
    common = report['pairs']['common'][0]
    assert (common['first'], common['second'], common['both']) == ('person', 'cat', 9)
    assert common['pmi'] == pytest.approx(np.log2(9 * 21 / 15 / 12))
    assert report['held_out_gain']['folds'] == 5
    assert report['mutual_information']['correction'] == 'Miller-Madow'
    shortened = label_report(statistics, most=1)
    assert len(shortened['common_sets']) == len(shortened['pairs']['common']) == 1


def test_lift_zero_has_no_pmi():
    statistics = count_label_statistics([[0]] * 60 + [[1]] * 60, ['a', 'b'])
    (pair,) = label_report(statistics)['pairs']['avoiding']
    assert pair['lift'] == 0 and pair['pmi'] is None


def test_verdicts_state_the_numbers():
    said = ' '.join(label_verdicts(count_label_statistics(LABELS, CLASSES)))
    assert '1.57 labels on average; 57.1 % of the images have two or more, 14.3 % have none' in said
    assert '5 different label sets; the most common, {person, cat}, has 28.6 %' in said
    assert '7 images are too few' in said
    assert '4 of 4 classes have fewer than 10 images (1 have none)' in said


def test_verdict_on_dependence_follows_the_data():
    shown = np.random.default_rng(0).random((3000, 4)) < 0.4
    independent = count_label_statistics([np.flatnonzero(one) for one in shown], CLASSES)
    said = ' '.join(label_verdicts(independent))
    assert 'no dependence between pairs of labels was found' in said
    assert 'That much' not in said

    shown[:, 1] = shown[:, 0]
    dependent = count_label_statistics([np.flatnonzero(one) for one in shown], CLASSES)
    said = ' '.join(label_verdicts(dependent))
    gain = dependent.gain
    assert f'{gain.gain_bits:.3f} are saved' in said and f'{gain.gain_percent:.1f} %' in said
    assert 'That much, at least' in said and 'no dependence' not in said


@pytest.mark.parametrize(('errors', 'sure'), [(-3.0, False), (1.9, False), (2.1, True)])
def test_gain_counts_from_two_standard_errors_on(errors, sure):
    gain = HeldOutGain(10.0, 10.0 - 0.1 * errors, 0.1 * errors, 0.1, errors, 5)
    statistics = replace(count_label_statistics(LABELS, CLASSES), gain=gain)
    said = ' '.join(label_verdicts(statistics))
    assert ('That much, at least' in said) == sure
    assert ('That is not two standard errors above 0' in said) != sure


@pytest.mark.slow
def test_two_hundred_thousand_sets_take_seconds():
    """As many images and classes as NUS-WIDE has, with its mean of 2.4 labels."""
    rng = np.random.default_rng(0)
    shares = 0.7 / np.arange(2, 83)  # sum 2.4
    image, label = (rng.random((209_347, 81), dtype=np.float32) < shares).nonzero()
    labels = np.split(label, np.searchsorted(image, np.arange(1, 209_347)))
    assert 2.3 < len(label) / len(labels) < 2.9
    start = time.process_time()
    matrix = label_matrix(labels, 81)
    sequence = frequent_first(co_occurrence(matrix).diagonal())
    sets = count_sets(*order_labels(matrix, sequence))
    assert time.process_time() - start < 5
    assert sum(count for _, count in sets) == 209_347
