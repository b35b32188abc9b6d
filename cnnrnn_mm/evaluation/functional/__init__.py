# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .label_set import (
    LabelCounts,
    class_average_scores,
    class_scores,
    count_labels,
    example_scores,
    label_set_scores,
    labels_to_sets,
    overall_scores,
    repeats_label,
    set_size_scores,
    topk_labels,
)

__all__ = [
    'LabelCounts',
    'class_average_scores',
    'class_scores',
    'count_labels',
    'example_scores',
    'label_set_scores',
    'labels_to_sets',
    'overall_scores',
    'repeats_label',
    'set_size_scores',
    'topk_labels',
]
