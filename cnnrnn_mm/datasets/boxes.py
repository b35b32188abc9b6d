# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Boxes in pixels: 0-based, x1 y1 x2 y2, the right and the bottom edge exclusive.

Axis letters: n boxes.
"""

from typing import NamedTuple

import numpy as np

__all__ = [
    'BOX_KEYS',
    'SLIVER',
    'ObjectBoxes',
    'as_boxes',
    'clip_boxes',
    'have_area',
    'mirror_boxes',
]

#: Where a pipeline has boxes (n, 4), and where it has what belongs to each of them.
BOX_KEYS = {'gt_bboxes': ('gt_bboxes_labels',), 'proposals': ()}
#: Pixels; what is thinner comes from rounding, and may vanish as a share of the image.
SLIVER = 1e-3


class ObjectBoxes(NamedTuple):
    """The boxes of the objects of an image.

    Attributes:
        edges: (n, 4) float32.
        labels: (n,) int64, class ids.
    """

    edges: np.ndarray
    labels: np.ndarray


def as_boxes(value: object) -> np.ndarray:
    """Boxes (n, 4) float32 from an array or nested lists; n may be 0."""
    return np.asarray(value, dtype=np.float32).reshape(-1, 4)


def clip_boxes(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """The parts of boxes (n, 4) inside an image; what lies outside is left without area."""
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=boxes.dtype))


def have_area(boxes: np.ndarray) -> np.ndarray:
    """Which of the boxes (n, 4) have an area, (n,) bool."""
    return (boxes[:, 2:] - boxes[:, :2] > SLIVER).all(1)


def mirror_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """Boxes (n, 4) in the image flipped left to right."""
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
    return mirrored
