# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnrnn_mm.evaluation.area_recall import area_bins, class_areas, recall_in_bins


def wilson(found, total, z=1.959963984540054):
    """Wilson's interval as he wrote it (Journal of the American Statistical Association 1927)."""
    share = found / total
    middle = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return tuple(100 * (middle + sign * half) / (1 + z**2 / total) for sign in (-1, 1))


def test_a_case_by_hand():
    areas = np.array([0.1, 0.4, 0.2, 0.3])
    bins = area_bins(areas, num_bins=2, min_labels=2)
    assert bins.bin_of.tolist() == [0, 1, 0, 1]
    assert (bins.low.tolist(), bins.high.tolist()) == ([0.1, 0.3], [0.2, 0.4])
    assert bins.middle == pytest.approx([0.15, 0.35])
    rows = recall_in_bins(bins, np.array([True, True, False, True]))
    assert rows[:, :3].tolist() == [[1, 2, 50], [2, 2, 100]]


@pytest.mark.parametrize(('found', 'total'), [(0, 5), (3, 7), (50, 50), (1, 1)])
def test_interval_is_wilsons(found, total):
    bins = area_bins(np.linspace(0.1, 0.2, total), num_bins=1)
    (row,) = recall_in_bins(bins, np.arange(total) < found)
    assert row[3:] == pytest.approx(wilson(found, total), abs=1e-9)


@given(st.lists(st.sampled_from([0.01, 0.1, 0.1001, 0.5, 1.0]), min_size=1, max_size=60))
def test_bins_divide_the_labels_by_area(values):
    areas = np.array(values)
    bins = area_bins(areas, num_bins=5, min_labels=4)
    assert 1 <= len(bins.middle) <= max(len(areas) // 4, 1)
    assert (bins.low[1:] > bins.high[:-1]).all()  # equal areas are in one bin
    for area, one in zip(areas, bins.bin_of, strict=True):
        assert bins.low[one] <= area <= bins.high[one]
    assert sorted(set(bins.bin_of.tolist())) == list(range(len(bins.middle)))


def test_equal_areas_at_an_edge_stay_below_it():
    bins = area_bins(np.array([0.1, 0.1, 0.1, 0.2]), num_bins=2, min_labels=2)
    assert bins.bin_of.tolist() == [0, 0, 0, 1]


def test_bins_are_about_equal():
    areas = np.random.default_rng(0).lognormal(-3, 1, 1003)
    bins = area_bins(areas, num_bins=10)
    sizes = np.bincount(bins.bin_of)
    assert len(sizes) == 10 and sizes.min() >= 100 and sizes.max() <= 101


def test_mean_area_of_classes():
    found = class_areas(np.array([2, 0, 2]), np.array([0.5, 0.25, 1.0]), 4)
    np.testing.assert_array_equal(found, [0.25, np.nan, 0.75, np.nan])
