# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Precision and recall of each class as bars (Wang et al., CVPR 2016, Fig. 7).

Axis letters: C classes, M methods.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .figure_style import COLOURS, figure_names, styled, tidy, with_title

__all__ = ['plot_class_scores']

#: Rows of bars on a page: more classes and more methods make more pages.
PAGE_ROWS = 96
PANELS = ('precision', 'recall')


@styled
def plot_class_scores(
    classes: Sequence[str],
    counts: ArrayLike,
    scores: Mapping[str, tuple[ArrayLike, ArrayLike]],
    never_predicted: Mapping[str, ArrayLike],
    title: str = '',
) -> list[Figure]:
    """Draw the bars, the class with most images on top of the first page.

    Classes without images that no method predicts are left out.

    Args:
        classes: C class names.
        counts: Images of each class in the split (C,).
        scores: For each method its precision (C,) and recall (C,), in percent.
        never_predicted: For each method whether a class is never predicted, bool (C,); its
            precision, which is 0/0, is then drawn as a cross.
        title: What is shown, for the first line of each page.

    Returns:
        The pages.
    """
    counts = np.asarray(counts)
    absent = (counts == 0) & np.all([np.asarray(never_predicted[name]) for name in scores], axis=0)
    order = np.argsort(-counts, kind='stable')
    order = order[~absent[order]]
    num_pages = max(math.ceil(len(order) * (len(scores) + 0.6) / PAGE_ROWS), 1)
    if absent.any():
        title += f', {absent.sum()} of {len(counts)} classes neither there nor predicted'
    names = figure_names(classes)
    pages = []
    for number, chosen in enumerate(np.array_split(order, num_pages), start=1):
        head = f'{title} ({number} of {num_pages})' if num_pages > 1 else title
        pages.append(_draw_page(names, counts, scores, never_predicted, chosen, head))
    return pages


def _draw_page(
    names: list[str],
    counts: np.ndarray,
    scores: Mapping[str, tuple[ArrayLike, ArrayLike]],
    never_predicted: Mapping[str, ArrayLike],
    chosen: np.ndarray,
    title: str,
) -> Figure:
    row = max(0.105 * (len(scores) + 0.6), 0.2)  # inches a class
    size = (10, 1.2 + 0.2 * len(scores) + max(row * len(chosen), 2.0))
    figure = Figure(figsize=size, layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(chosen))
    height = 0.84 / len(scores)
    for column, (panel, what) in enumerate(zip(panels, PANELS, strict=True)):
        for index, (method, both) in enumerate(scores.items()):
            values = np.asarray(both[column])
            undefined = np.asarray(never_predicted[method]) if column == 0 else counts == 0
            colour = COLOURS[index % len(COLOURS)]
            at = places + (index - (len(scores) - 1) / 2) * height
            mean = values.mean()
            panel.barh(
                at,
                values[chosen],
                height,
                color=colour,
                label=f'{figure_names([method], 40)[0]}: mean {mean:.1f}',
            )
            panel.plot(mean, -0.6, 'v', color=colour, markersize=7, clip_on=False, zorder=3)
            empty = undefined[chosen]
            panel.plot(np.full(empty.sum(), 1.2), at[empty], 'x', color=colour, markersize=4)
        _finish(panel, what)
    panels[0].set_yticks(places, [f'{names[i]}  {counts[i]:,}' for i in chosen])
    panels[0].set_ylabel('class and number of its images')
    panels[0].set_ylim(len(chosen) - 0.4, -0.6)
    return with_title(figure, title)


def _finish(panel: Axes, what: str) -> None:
    """Axis, grid and legend of one panel."""
    undefined = 'never predicted' if what == 'precision' else 'no image'
    panel.set_xlim(0, 100)
    panel.set_xlabel(f'{what}, percent   (▼ mean, × {undefined})')
    tidy(panel)
    panel.legend(loc='lower left', bbox_to_anchor=(0, 1), fontsize=8.5)
