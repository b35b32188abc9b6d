# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Names beside points, where there is room for them."""

from collections.abc import Sequence
from itertools import product
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ['place_names']

#: Directions from the point to its name, the best first, in sixteenths of a turn.
DIRECTIONS = (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11)
#: Distances from point to name in points; from the second on a line joins them.
DISTANCES = (5, 14, 24, 36, 50, 66)
#: Half the size of a point, room around a name, half the width of a line; in points.
POINT, MARGIN, LINE = 2.5, 1.0, 0.5


def place_names(
    axes: Axes,
    points: Sequence[np.ndarray] | np.ndarray,
    names: Sequence[str],
    obstacles: np.ndarray,
    font_size: float = 7,
) -> list[str]:
    """Write names beside points so that none covers another name, a point or the axes' edge.

    A line from a name to its point keeps off names and points too, but may cross another line.
    Call it last: the layout and the limits must not change any more.

    Args:
        axes: Where to write.
        points: For each name the points (P_i, 2), in data units, that it may stand at.
        names: The names, the most important first.
        obstacles: (Q, 2) all points that must stay visible, in data units.
        font_size: In points.

    Returns:
        The names for which there was no room.
    """
    figure = cast(Figure, axes.get_figure())
    figure.draw_without_rendering()
    figure.set_layout_engine('none')
    room, pixels = axes.get_window_extent(), figure.dpi / 72
    taken = _boxes(axes.transData.transform(obstacles), POINT * pixels)
    lines, left_out = taken[:0], []
    for own, name in zip(points, names, strict=True):
        size = _measure(axes, name, font_size)
        for distance, point, turn in product(DISTANCES, own, DIRECTIONS):
            unit = np.array([np.cos(turn * np.pi / 8), np.sin(turn * np.pi / 8)])
            step, way = distance * unit, np.sign(np.round(unit, 1))
            start = axes.transData.transform(point)
            # the corner or edge of the text that is nearest to the point is at the step's end
            low = start + step * pixels - size * (1 - way) / 2
            if (low < room.min).any() or (low + size > room.max).any():
                continue
            margin = MARGIN * pixels
            text = np.concatenate([low - margin, low + size + margin])[None]
            line = _line(start, step, pixels) if distance != DISTANCES[0] else text[:0]
            if not (_overlap(text, taken) or _overlap(text, lines) or _overlap(line, taken)):
                taken, lines = np.concatenate([taken, text]), np.concatenate([lines, line])
                _write(axes, name, point, way, step, font_size, joined=len(line) > 0)
                break
        else:
            left_out.append(name)
    return left_out


def _boxes(centres: np.ndarray, half: float) -> np.ndarray:
    """Squares (P, 4) around points (P, 2), each as left, bottom, right, top."""
    return np.concatenate([centres - half, centres + half], axis=1)


def _line(start: np.ndarray, step: np.ndarray, pixels: float) -> np.ndarray:
    """Small squares along the line from just outside a point to the end of a step."""
    length = np.linalg.norm(step)
    along = np.arange(2 * POINT, length - MARGIN, 2 * LINE)[:, None]
    return _boxes(start + along * step / length * pixels, LINE * pixels)


def _overlap(boxes: np.ndarray, taken: np.ndarray) -> bool:
    ours, theirs = boxes[:, None], taken[None]
    apart = (ours[..., :2] >= theirs[..., 2:]) | (theirs[..., :2] >= ours[..., 2:])
    return bool((~apart.any(-1)).any())


def _measure(axes: Axes, name: str, font_size: float) -> np.ndarray:
    """Width and height of a name in pixels."""
    text = axes.text(0, 0, name, fontsize=font_size)
    size = np.asarray(text.get_window_extent().size)
    text.remove()
    return size


def _write(
    axes: Axes,
    name: str,
    point: np.ndarray,
    way: np.ndarray,
    step: np.ndarray,
    font_size: float,
    joined: bool,
) -> None:
    """Put a name beside a point, joined to it by a line or not."""
    line = dict(arrowstyle='-', color='#aaaaaa', linewidth=0.5, shrinkA=0, shrinkB=3)
    axes.annotate(
        name,
        (point[0], point[1]),
        xytext=(step[0], step[1]),
        textcoords='offset points',
        ha={-1: 'right', 0: 'center', 1: 'left'}[way[0]],
        va={-1: 'top', 0: 'center', 1: 'bottom'}[way[1]],
        fontsize=font_size,
        color='#444444',
        arrowprops=line if joined else None,
    )
