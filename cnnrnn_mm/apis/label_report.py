# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label statistics of a dataset: count and write."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.annotations import check_labels, class_names, read_labels
from ..datasets.label_table import write_whole
from ..datasets.statistics import LabelStatistics, count_label_statistics
from ..visualization.label_map_plot import plot_label_map
from ..visualization.label_statistics_plots import (
    plot_information,
    plot_label_counts,
    plot_set_sizes,
)
from .figures import save_figure

__all__ = ['dataset_statistics', 'write_report']

#: False discovery rate below which a pair counts as dependent in figures.
MAX_Q = 0.01


def dataset_statistics(dataset: Any, folds: int = 5, seed: int = 0) -> LabelStatistics:
    """Count the label sets of a dataset, without loading an image.

    Raises:
        UsageError: If it is empty, or a label is no class or comes twice in an image.
    """
    labels, paths = read_labels(dataset)
    classes = class_names(dataset)
    if classes is None:
        highest = max((int(one.max()) for one in labels if one.size), default=0)
        classes = [str(label) for label in range(highest + 1)]
    check_labels(labels, paths, len(classes))
    return count_label_statistics(labels, classes, folds, seed)


def write_report(statistics: LabelStatistics, report: dict, out: Path, title: str) -> list[Path]:
    """Write ``statistics.json`` and the figures.

    Args:
        statistics: What was counted.
        report: The same in plain types.
        out: Folder.
        title: What was counted, above the figures.

    Returns:
        The files written.
    """
    text = json.dumps(report, ensure_ascii=False, allow_nan=False, separators=(',', ':')) + '\n'
    content = out / 'statistics.json'
    write_whole(content, lambda unfinished: unfinished.write_text(text, encoding='utf-8'))
    classes, sequence = statistics.classes, statistics.sequence
    information = report['mutual_information']['pairs']
    figures = {
        'label_counts': plot_label_counts(classes, statistics.counts, sequence, title),
        'set_sizes': plot_set_sizes(statistics.set_sizes, statistics.expected_set_sizes, title),
        'co_occurrence': plot_label_map(
            classes, statistics.together, sequence, statistics.num_images, _sure(statistics), title
        ),
        'dependence': plot_information(
            classes,
            [(one['first_id'], one['second_id']) for one in information],
            [one['bits'] for one in information],
            _on_gain(statistics),
            title,
        ),
    }
    written = [save_figure(figure, out / f'{name}.png') for name, figure in figures.items()]
    return [content, *written]


def _sure(statistics: LabelStatistics) -> np.ndarray:
    """Whether each pair is dependent beyond chance (C, C)."""
    sure = np.zeros_like(statistics.together, dtype=bool)
    pairs = statistics.pairs
    sure[pairs.first, pairs.second] = pairs.q_value <= MAX_Q
    return sure | sure.T


def _on_gain(statistics: LabelStatistics) -> str:
    gain = statistics.gain
    if gain is None:
        return ''
    return (
        f'held out, one other label saves {gain.gain_bits:.3f} (standard error '
        f'{gain.standard_error:.3f}) of {gain.independent_bits:.3f} bits'
    )
