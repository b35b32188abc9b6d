# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Figures 7 and 8 of the paper from predictions. Axis letters: N images, C classes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from ..evaluation.area_recall import area_bins, class_areas, recall_in_bins
from ..evaluation.functional import class_scores, count_labels
from ..visualization.area_recall_plot import plot_recall_by_box_area, plot_recall_by_class_area
from ..visualization.class_score_bars import plot_class_scores
from .figures import save_figure, save_table
from .results import SplitTruth

__all__ = ['draw_area_recall', 'draw_class_scores']

CLASS_COLUMNS = (
    *('method', 'class_id', 'class', 'images', 'true_positive', 'false_positive'),
    *('false_negative', 'precision', 'recall', 'f1'),
)
CLASS_AREA_COLUMNS = ('method', 'class_id', 'class', 'mean_area', 'labels', 'found', 'recall')
AREA_COLUMNS = (
    *('method', 'area_low', 'area_middle', 'area_high', 'labels', 'found'),
    *('recall', 'low_95', 'high_95'),
)


def draw_class_scores(
    truth: SplitTruth, predicted: Mapping[str, Tensor], out: Path, title: str = ''
) -> list[Path]:
    """Write ``class_scores*.png`` and ``class_scores.csv``.

    Args:
        truth: The split.
        predicted: For each method a BoolTensor (N, C).
        out: Folder.
        title: What is shown.

    Returns:
        The files written.
    """
    images = truth.target.sum(0).numpy()
    counts = {name: count_labels(one, truth.target) for name, one in predicted.items()}
    scores = {name: [one.numpy() for one in class_scores(c)] for name, c in counts.items()}
    never = {name: (c.true_positive + c.false_positive == 0).numpy() for name, c in counts.items()}
    both = {name: (precision, recall) for name, (precision, recall, _) in scores.items()}
    pages = plot_class_scores(truth.classes, images, both, never, title)
    for old in out.glob('class_scores*.png'):  # pages of an earlier, longer result
        old.unlink()
    names = ['class_scores.png']
    if len(pages) > 1:
        names = [f'class_scores_{number}.png' for number in range(1, len(pages) + 1)]
    written = [save_figure(page, out / name) for page, name in zip(pages, names, strict=True)]
    rows = [
        [
            method,
            label,
            truth.classes[label],
            images[label],
            *(int(count[label]) for count in counts[method]),
            *(round(float(score[label]), 4) for score in scores[method]),
        ]
        for method in predicted
        for label in np.argsort(-images, kind='stable').tolist()
    ]
    return [*written, save_table(out / 'class_scores.csv', CLASS_COLUMNS, rows)]


def draw_area_recall(
    truth: SplitTruth,
    predicted: Mapping[str, Tensor],
    out: Path,
    title: str = '',
    num_bins: int = 10,
) -> list[Path]:
    """Write ``recall_by_class_area`` and ``recall_by_box_area``, each as PNG and CSV.

    Only true labels with an area count here. Other arguments as for :func:`draw_class_scores`.

    Args:
        truth: The split; it must have areas of true labels.
        predicted: For each method a BoolTensor (N, C).
        out: Folder.
        title: What is shown.
        num_bins: Most bins of areas.
    """
    image, label, area = _labels_with_areas(truth)
    found = {name: one.numpy()[image, label] for name, one in predicted.items()}
    num_classes = len(truth.classes)
    labels = np.bincount(label, minlength=num_classes)
    hits = {
        name: np.bincount(label, one, minlength=num_classes).astype(int)
        for name, one in found.items()
    }
    recalls = {name: 100 * one / np.maximum(labels, 1) for name, one in hits.items()}
    areas = class_areas(label, area, num_classes)
    figure = plot_recall_by_class_area(truth.classes, labels, areas, recalls, title)
    rows = [
        [name, i, truth.classes[i], f'{areas[i]:.6g}', labels[i], hits[name][i]]
        + [round(recalls[name][i], 4)]
        for name in predicted
        for i in np.flatnonzero(labels).tolist()
    ]
    written = [
        save_figure(figure, out / 'recall_by_class_area.png'),
        save_table(out / 'recall_by_class_area.csv', CLASS_AREA_COLUMNS, rows),
    ]

    bins = area_bins(area, num_bins)
    in_bins = {name: recall_in_bins(bins, one) for name, one in found.items()}
    figure = plot_recall_by_box_area(bins.middle, bins.low, in_bins, title)
    edges = zip(bins.low, bins.middle, bins.high, strict=True)
    ends = [[f'{value:.6g}' for value in one] for one in edges]
    rows = [
        [name, *end, int(row[1]), int(row[0]), *(round(value, 4) for value in row[2:])]
        for name in predicted
        for end, row in zip(ends, in_bins[name].tolist(), strict=True)
    ]
    return [
        *written,
        save_figure(figure, out / 'recall_by_box_area.png'),
        save_table(out / 'recall_by_box_area.csv', AREA_COLUMNS, rows),
    ]


def _labels_with_areas(truth: SplitTruth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, class and area of each true label that has an area."""
    target = truth.target.numpy()
    found = [
        (image, label, area)
        for image, areas in enumerate(truth.areas or ())
        for label, area in areas.items()
        if 0 <= label < target.shape[1] and target[image, label]
    ]
    image, label, area = zip(*found, strict=True) if found else ((), (), ())
    return np.array(image, int), np.array(label, int), np.array(area, float)
