# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels on a plane, each joined to its nearest. Axis letter: C classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from .figure_style import COLOURS, figure_names, styled, with_title
from .label_placing import place_names

__all__ = ['plot_neighbor_map']

#: The figure's sides in inches for few labels, and how many times larger they become for many.
FEW, WIDTH, HEIGHT, MOST_TIMES = 60, 7.0, 5.6, 5.0
LINE = '#a9d3ee'


@styled
def plot_neighbor_map(
    classes: Sequence[str], points: ArrayLike, nearest: ArrayLike, title: str = ''
) -> Figure:
    """Names of labels on a plane; a line leads from each label to the one nearest to it.

    The lines show what the plane can not: a long one joins labels that are near each other in the
    space itself. Names that find no room are left out and counted below the map.

    Args:
        classes: C class names.
        points: (C, 2).
        nearest: (C,) id of the label nearest to each.
        title: What is shown.
    """
    points = np.asarray(points, dtype=float)
    nearest = np.asarray(nearest, dtype=int)
    factor = np.clip(np.sqrt(len(classes) / FEW), 1, MOST_TIMES)
    figure = Figure(figsize=(factor * WIDTH, factor * HEIGHT), layout='constrained')
    axes = figure.subplots()
    lines = np.stack([points, points[nearest]], axis=1) if len(points) else np.zeros((0, 2, 2))
    axes.add_collection(LineCollection(list(lines), colors=LINE, linewidths=0.8, zorder=1))
    axes.scatter(points[:, 0], points[:, 1], s=14, color=COLOURS[0], zorder=2, linewidths=0)
    axes.margins(x=0.06, y=0.03)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure = with_title(figure, title)
    note = axes.set_xlabel('A line leads from each label to the one nearest to it.', fontsize=9)
    left_out = place_names(axes, points[:, None], figure_names(classes), points, font_size=8)
    if left_out:
        note.set_text(f'{note.get_text()} No room for {len(left_out)} names.')
    for text in axes.texts:  # lines pass below the names
        text.set_path_effects([withStroke(linewidth=2, foreground='white')])
    return figure
