# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .average_precision import (
    AP_METHODS,
    average_precision,
    mean_over_classes,
    ranked_average_precision,
)
from .bootstrap import (
    bootstrap_scores,
    canonical_order,
    centred_intervals,
    check_bootstrap,
    draw_weights,
)
from .class_ranking import rank_classes
from .class_table import ClassRow, class_table
from .label_counts import (
    LabelCounts,
    class_average_scores,
    class_scores,
    count_labels,
    overall_scores,
    weighted_counter,
)
from .label_set import count_repeats, labels_to_sets, repeats_label, topk_labels
from .ranked_labels import average_precision_at_k, mean_over_images, rank_labels
from .set_scores import example_scores, label_set_scores, label_set_statistic, set_size_scores

__all__ = [
    'AP_METHODS',
    'ClassRow',
    'LabelCounts',
    'average_precision',
    'average_precision_at_k',
    'bootstrap_scores',
    'canonical_order',
    'centred_intervals',
    'check_bootstrap',
    'class_average_scores',
    'class_scores',
    'class_table',
    'count_labels',
    'count_repeats',
    'draw_weights',
    'example_scores',
    'label_set_scores',
    'label_set_statistic',
    'labels_to_sets',
    'mean_over_classes',
    'mean_over_images',
    'overall_scores',
    'rank_classes',
    'rank_labels',
    'ranked_average_precision',
    'repeats_label',
    'set_size_scores',
    'topk_labels',
    'weighted_counter',
]
