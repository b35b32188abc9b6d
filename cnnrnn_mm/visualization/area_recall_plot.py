# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Recall against the size of objects (Wang et al., CVPR 2016, Fig. 8).

Axis letters: C classes, B bins.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from .figure_style import COLOURS, figure_names, styled, with_title
from .label_placing import place_names

__all__ = ['plot_recall_by_box_area', 'plot_recall_by_class_area']

MARKERS = 'osD^vPX'


@styled
def plot_recall_by_class_area(
    classes: Sequence[str],
    counts: ArrayLike,
    areas: ArrayLike,
    recalls: Mapping[str, ArrayLike],
    title: str = '',
) -> Figure:
    """One point a class and method: recall over the mean area of the class's boxes.

    Args:
        classes: C class names.
        counts: Labels that each class has (C,); classes with more are named first.
        areas: Mean share of the image that a label's largest object covers (C,), NaN where there
            is none; such classes are left out.
        recalls: For each method its recall (C,) in percent.
        title: What is shown.
    """
    areas, values = np.asarray(areas), np.stack([np.asarray(one) for one in recalls.values()])
    shown = np.flatnonzero(np.isfinite(areas))
    figure = Figure(figsize=(10, 7), layout='constrained')
    axes = figure.subplots()
    ends = values[:, shown]
    axes.vlines(areas[shown], ends.min(0), ends.max(0), color='#bbbbbb', linewidth=0.8, zorder=1)
    for index, method in enumerate(recalls):
        axes.scatter(
            areas[shown],
            values[index, shown],
            s=22,
            marker=MARKERS[index % len(MARKERS)],
            color=COLOURS[index % len(COLOURS)],
            label=figure_names([method], 40)[0],
            zorder=2,
        )
    _finish(axes, 'mean share of the image that the largest box of the class covers')
    axes.set_ylabel('recall of the class, percent')
    _name_methods(figure, axes, len(recalls))
    with_title(figure, title)
    obstacles = np.stack([np.tile(areas[shown], len(values)), ends.ravel()], 1)
    order = shown[np.argsort(-np.asarray(counts)[shown], kind='stable')]
    points = [np.stack([np.full(len(values), areas[i]), values[:, i]], 1) for i in order]
    names = figure_names(classes)
    left_out = place_names(axes, points, [names[i] for i in order], obstacles)
    if left_out:
        note = f'no room for {len(left_out)} of {len(order)} names'
        axes.set_title(note, loc='right', fontsize=8, color='#777777')
    return figure


@styled
def plot_recall_by_box_area(
    middle: ArrayLike,
    low: ArrayLike,
    recalls: Mapping[str, ArrayLike],
    title: str = '',
) -> Figure:
    """One point a bin and method, with its interval.

    Args:
        middle: Median share of the image that the boxes of a bin cover (B,).
        low: Smallest share in each bin (B,).
        recalls: For each method (B, 5): found, labels, recall, lower and upper end in percent, as
            ``recall_in_bins`` gives them.
        title: What is shown.
    """
    middle, low = np.asarray(middle), np.asarray(low)
    figure = Figure(figsize=(8, 5.2), layout='constrained')
    axes = figure.subplots()
    for index, (method, rows) in enumerate(recalls.items()):
        rows = np.asarray(rows)
        # side by side, so that intervals don't cover each other
        at = middle * 1.025 ** (index - (len(recalls) - 1) / 2)
        axes.errorbar(
            at,
            rows[:, 2],
            yerr=np.maximum([rows[:, 2] - rows[:, 3], rows[:, 4] - rows[:, 2]], 0),
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            color=COLOURS[index % len(COLOURS)],
            capsize=2.5,
            linewidth=1.4,
            elinewidth=1,
            label=figure_names([method], 40)[0],
        )
    _finish(axes, 'share of the image that the largest box of the label covers')
    axes.set_ylabel('recall, percent (95 % intervals)')
    for edge in low[1:]:
        axes.axvline(edge, ymax=0.015, color='#777777', linewidth=0.8)
    labels = np.asarray(next(iter(recalls.values())))[:, 1].astype(int)
    sizes = ' to '.join(f'{size:,}' for size in sorted({labels.min(), labels.max()}))
    axes.set_title(f'{sizes} labels a bin', loc='right', fontsize=8, color='#777777')
    _name_methods(figure, axes, len(recalls))
    return with_title(figure, title)


def _finish(axes: Axes, label: str) -> None:
    """A logarithmic axis of areas in percent, and one of recall."""
    axes.set_xscale('log')
    low, high = axes.get_xlim()
    axes.set_xlim(right=min(high, 1.1))
    subs = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    axes.xaxis.set_major_locator(LogLocator(10, subs=subs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{100 * value:g} %'))
    axes.set_xlabel(label)
    axes.set_ylim(-3, 103)
    axes.grid()


def _name_methods(figure: Figure, axes: Axes, count: int) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=min(count, 4))
