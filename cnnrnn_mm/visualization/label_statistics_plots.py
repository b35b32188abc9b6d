# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Figures of label sets. Axis letters: C classes, S set sizes, P pairs.

They take plain arrays, as ``LabelStatistics`` holds them.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from .figure_style import COLOURS, figure_names, styled, tidy, with_title

__all__ = ['plot_information', 'plot_label_counts', 'plot_set_sizes']

#: Bars that can be read in one figure.
MOST_BARS = 40


@styled
def plot_label_counts(
    classes: Sequence[str], counts: ArrayLike, sequence: ArrayLike, title: str = ''
) -> Figure:
    """Images of the most frequent classes by name, and of all classes by rank.

    Args:
        classes: C class names.
        counts: Images of each class (C,).
        sequence: Class ids (C,), frequent first.
        title: What is shown.
    """
    counts, sequence = np.asarray(counts), np.asarray(sequence)
    shown, whole = sequence[:MOST_BARS], len(sequence) <= MOST_BARS
    width, height = (7.0 if whole else 10.0), max(1.2 + 0.2 * len(shown), 2.5)
    figure = Figure(figsize=(width, height), layout='constrained')
    if whole:
        _draw_counts(figure.subplots(), figure_names(classes), counts, shown)
        return with_title(figure, title)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_counts(left, figure_names(classes), counts, shown)
    left.set_title(f'the {len(shown)} most frequent classes')
    ranks, there = np.arange(1, len(sequence) + 1), counts[sequence] > 0
    right.plot(ranks[there], counts[sequence][there], '.-', color=COLOURS[0], markersize=4)
    right.set_yscale('log')
    _use_thousands(right.yaxis)
    right.yaxis.set_minor_formatter(NullFormatter())
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    right.set_xlabel('rank of the class')
    right.set_ylabel('images')
    right.grid()
    absent = f', {(~there).sum()} without images' if not there.all() else ''
    right.set_title(f'all {len(sequence)} classes{absent}')
    return with_title(figure, title)


@styled
def plot_set_sizes(sizes: ArrayLike, expected: ArrayLike, title: str = '') -> Figure:
    """Share of the images by number of labels, and what it would be without dependence.

    Args:
        sizes: Images with 0, 1, ... labels (S,).
        expected: The same if the labels were independent (S,).
        title: What is shown.
    """
    sizes, expected = np.asarray(sizes), np.asarray(expected)
    total, places = sizes.sum(), np.arange(len(sizes))
    figure = Figure(figsize=(min(max(5.5, 2 + 0.42 * len(sizes)), 14), 4.2), layout='constrained')
    axes = figure.subplots()
    share = 100 * sizes / total
    axes.bar(places, share, 0.72, color=COLOURS[0], label='this set')
    axes.plot(
        places,
        100 * expected / total,
        'o-',
        color=COLOURS[1],
        markersize=4,
        label='if independent',
        zorder=4,  # above the grounds of the numbers
    )
    for place, value in zip(places, share, strict=True):
        if len(places) <= 30 and value > 0:
            text = f'{value:.1f}' if value >= 0.05 else '<0.1'
            _write_number(axes, text, (float(place), float(value)), (0, 3))
    axes.xaxis.set_major_locator(MaxNLocator(min(len(places) + 1, 20), integer=True))
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xlabel('labels of an image')
    axes.set_ylabel('images, percent')
    axes.margins(y=0.08)
    tidy(axes, 'y')
    axes.legend()
    return with_title(figure, title)


@styled
def plot_information(
    classes: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    bits: ArrayLike,
    gain: str = '',
    title: str = '',
) -> Figure:
    """Mutual information of pairs as bars.

    Args:
        classes: C class names.
        pairs: P pairs of class ids, the foremost first.
        bits: Mutual information of each pair (P,).
        gain: A sentence on all labels together, to stand above the bars.
        title: What is shown.
    """
    names = figure_names(classes)
    pairs, bits = pairs[:MOST_BARS], np.asarray(bits)[:MOST_BARS]
    figure = Figure(figsize=(8, 1.6 + 0.2 * max(len(pairs), 3)), layout='constrained')
    axes = figure.subplots()
    axes.barh(np.arange(len(pairs)), bits, 0.75, color=COLOURS[2])
    text = [f'{names[first]}, {names[second]}' for first, second in pairs]
    axes.set_yticks(np.arange(len(pairs)), text)
    axes.set_ylim(max(len(pairs), 1) - 0.4, -0.6)
    axes.set_xlabel('mutual information, bits an image')
    axes.margins(x=0.05)
    tidy(axes)
    axes.set_title(gain or 'pairs with the most mutual information')
    return with_title(figure, title)


def _draw_counts(axes: Axes, names: list[str], counts: np.ndarray, shown: np.ndarray) -> None:
    """Bars with names and numbers, from the top down."""
    axes.barh(np.arange(len(shown)), counts[shown], 0.75, color=COLOURS[0])
    axes.set_yticks(np.arange(len(shown)), [names[label] for label in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for place, label in enumerate(shown):
        _write_number(axes, f'{counts[label]:,}', (counts[label], place), (3, 0))
    axes.margins(x=0.12)
    axes.set_xlabel('images')
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _use_thousands(axes.xaxis)
    tidy(axes)


def _write_number(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float]
) -> None:
    """A small number to the right of a point, or above it."""
    sideways = offset[0] > 0
    axes.annotate(
        text,
        point,
        xytext=offset,
        textcoords='offset points',
        ha='left' if sideways else 'center',
        va='center' if sideways else 'bottom',
        fontsize=7.5,
        bbox=dict(facecolor='white', edgecolor='none', alpha=0.8, pad=0.6),
    )


def _use_thousands(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
