# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Statistics of label sets, without any image. Needs SciPy."""

from .dependence import HeldOutGain, chow_liu_forest, held_out_gain, mutual_information
from .label_sets import (
    count_sets,
    expected_set_sizes,
    frequent_first,
    label_matrix,
    order_labels,
    set_sizes,
)
from .label_statistics import LabelStatistics, count_label_statistics
from .pairs import LabelPairs, co_occurrence, label_pairs, top_pairs
from .verdicts import label_verdicts

__all__ = [
    'HeldOutGain',
    'LabelPairs',
    'LabelStatistics',
    'chow_liu_forest',
    'co_occurrence',
    'count_label_statistics',
    'count_sets',
    'expected_set_sizes',
    'frequent_first',
    'held_out_gain',
    'label_matrix',
    'label_pairs',
    'label_verdicts',
    'mutual_information',
    'order_labels',
    'set_sizes',
    'top_pairs',
]
