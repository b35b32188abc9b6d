# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which labels come together, as maps. Axis letter: C classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .figure_style import figure_names, styled, with_title

__all__ = ['plot_label_map']

#: Rows that can be read in one figure.
MOST_ROWS = 30
#: Lifts from 1/16 to 16 have colours of their own.
LIFT_BITS = 4


@styled
def plot_label_map(
    classes: Sequence[str],
    together: ArrayLike,
    sequence: ArrayLike,
    num_images: int,
    sure: ArrayLike,
    title: str = '',
) -> Figure:
    """Two maps of the most frequent classes: P(column given row), and the lift of each pair.

    Args:
        classes: C class names.
        together: Images with both labels (C, C).
        sequence: Class ids (C,), frequent first.
        num_images: Number of images.
        sure: Whether a pair is dependent beyond chance, bool (C, C); the others stay grey.
        title: What is shown.
    """
    together, counts = np.asarray(together), np.diagonal(together)
    shown = np.asarray(sequence)[:MOST_ROWS]
    shown = shown[: max((counts[shown] > 0).sum(), 1)]  # classes without images come last
    names = figure_names(classes, 16)
    labels = [names[label] for label in shown]
    grid = np.ix_(shown, shown)
    given = 100 * together[grid] / np.maximum(counts[shown], 1)[:, None]
    with np.errstate(divide='ignore', invalid='ignore'):
        lift = np.log2(together[grid] * num_images / np.outer(counts[shown], counts[shown]))
    lift = np.ma.masked_where(~np.asarray(sure)[grid], np.clip(lift, -LIFT_BITS, LIFT_BITS))
    np.fill_diagonal(given, np.nan)

    side = max(0.2 * len(shown), 2.4)
    figure = Figure(figsize=(2 * side + 4, side + 1.7), layout='constrained')
    panels = figure.subplots(1, 2)
    _draw_map(figure, panels[0], given, labels, 'Blues', (0, 100), 'percent')
    panels[0].set_title('images of the row that have the column')
    bar = _draw_map(figure, panels[1], lift, labels, 'RdBu', (-LIFT_BITS, LIFT_BITS), 'lift')
    ticks = np.arange(-LIFT_BITS, LIFT_BITS + 1, 2).tolist()
    bar.set_ticks(ticks, labels=['1/16', '1/4', '1', '4', '16'])
    panels[1].set_title('together against chance (grey: unsure)')
    if len(shown) < len(classes):
        title += f', the {len(shown)} most frequent of {len(classes)} classes'
    return with_title(figure, title)


def _draw_map(
    figure: Figure,
    axes: Axes,
    values: np.ndarray,
    labels: list[str],
    colours: str,
    limits: tuple[float, float],
    unit: str,
) -> Colorbar:
    """A square map with names on both sides; returns its colour bar."""
    colour_map = colormaps[colours].with_extremes(bad='#d5d9dd')
    image = axes.imshow(values, cmap=colour_map, vmin=limits[0], vmax=limits[1])
    places, size = np.arange(len(labels)), 9 if len(labels) <= 20 else 7.5
    axes.set_xticks(places, labels, rotation=90, fontsize=size)
    axes.set_yticks(places, labels, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure.colorbar(image, ax=axes, label=unit, pad=0.02)
