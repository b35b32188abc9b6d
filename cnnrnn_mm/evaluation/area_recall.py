# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Recall against the size of objects (Wang et al., CVPR 2016, Fig. 8).

Axis letters: M labels of images (an image and one of its true labels), C classes, B bins.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

__all__ = ['AreaBins', 'area_bins', 'class_areas', 'recall_in_bins']


class AreaBins(NamedTuple):
    """Bins of areas that hold about as many labels each.

    Attributes:
        low: Smallest area in each bin (B,).
        middle: Median area in each bin (B,).
        high: Largest area in each bin (B,).
        bin_of: Bin of each label (M,).
    """

    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    bin_of: np.ndarray


def area_bins(areas: np.ndarray, num_bins: int = 10, min_labels: int = 20) -> AreaBins:
    """Divide labels into bins by area.

    Equal areas stay in one bin, so that there may be fewer bins.

    Args:
        areas: Share of the image that the label's largest object covers (M,), M >= 1.
        num_bins: Most bins.
        min_labels: Labels for each bin; with fewer than two bins' worth there is one bin.
    """
    wanted = max(min(num_bins, len(areas) // min_labels), 1)
    inner = np.unique(np.quantile(areas, np.arange(1, wanted) / wanted))
    bin_of = np.unique(np.searchsorted(inner, areas, side='left'), return_inverse=True)[1]
    groups = [areas[bin_of == one] for one in range(bin_of.max() + 1)]
    low, middle, high = (
        np.array([find(group) for group in groups]) for find in (np.min, np.median, np.max)
    )
    return AreaBins(low, middle, high, bin_of)


def recall_in_bins(bins: AreaBins, found: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Share of the labels found in each bin, with Wilson's interval.

    The interval takes labels for independent; two labels of one image are not quite.

    Args:
        bins: The bins of M labels.
        found: Whether each label is in the predicted set, bool (M,).
        confidence: Of the interval.

    Returns:
        (B, 5): labels found, labels, recall, its lower and its upper end, the last three in
        percent.
    """
    rows = []
    for one in range(len(bins.middle)):
        hits = found[bins.bin_of == one]
        test = binomtest(int(hits.sum()), len(hits))
        interval = test.proportion_ci(confidence, method='wilson')
        percent = [100 * test.statistic, 100 * interval.low, 100 * interval.high]
        rows.append([test.k, test.n, *percent])
    return np.array(rows)


def class_areas(labels: np.ndarray, areas: np.ndarray, num_classes: int) -> np.ndarray:
    """Mean area of each class's labels (C,), NaN where there is none.

    Args:
        labels: Class ids (M,).
        areas: (M,).
        num_classes: C.
    """
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, areas, minlength=num_classes)
    return np.divide(sums, counts, out=np.full(num_classes, np.nan), where=counts > 0)
