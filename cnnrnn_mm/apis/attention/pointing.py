# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether a heat map points at a box.

Axis letters: H, W sides of the map. Boxes are x1, y1, x2, y2 in pixels of the map, 0-based, the
right and the bottom edge exclusive.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ['box_share', 'mass_share', 'peak_in_box', 'peak_of']

Box = Sequence[float]


def peak_of(heat: Tensor) -> tuple[int, int] | None:
    """Column and row of the highest value of (H, W), the first of equal ones; None if all is 0."""
    if not bool((heat > 0).any()):
        return None
    row, column = divmod(int(heat.flatten().argmax()), heat.shape[1])
    return column, row


def peak_in_box(heat: Tensor, box: Box, tolerance: float = 0.0) -> bool:
    """The pointing game of Zhang et al., "Excitation Backprop", ECCV 2016.

    Args:
        heat: (H, W), at least 0.
        box: The box.
        tolerance: Pixels by which the centre of the highest pixel may lie outside.

    Returns:
        Whether it is a hit; a map that is 0 everywhere is none.
    """
    peak = peak_of(heat)
    if peak is None:
        return False
    x, y = peak[0] + 0.5, peak[1] + 0.5
    across = max(box[0] - x, x - box[2], 0.0)
    down = max(box[1] - y, y - box[3], 0.0)
    return across**2 + down**2 <= tolerance**2


def mass_share(heat: Tensor, box: Box) -> float:
    """The share of the map's sum inside the box; 0 for a map that is 0 everywhere."""
    left, top, right, bottom = (round(edge) for edge in box)
    total = float(heat.sum(dtype=torch.float64))
    return (
        float(heat[top:bottom, left:right].sum(dtype=torch.float64)) / total if total > 0 else 0.0
    )


def box_share(size: tuple[int, int], box: Box) -> float:
    """The share of a map (H, W) that the box covers: the hit rate of a point at random."""
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])
