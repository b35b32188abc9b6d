# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Draws demo scenes from the 8x8 handwritten digits that come with scikit-learn.

Only integer arithmetic and the generator's own integers touch the pixels, so that a seed gives the
same picture on every machine with the same versions of numpy, Pillow and scikit-learn.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from cnnrnn_mm.errors import UsageError

from .law import CLASSES, sample_scene

CANVAS = 50
"""Height and width of a scene unless said otherwise, and the least that it may be, in pixels."""

ANCHOR_SIZES = (18, 20)
"""Smallest and largest side of the anchor, in pixels."""

COMPANION_SIZES = (13, 14)
"""Smallest and largest side of a companion, in pixels; legible and smudged alike."""

SOURCE_SPLITS = {'train': range(0, 7), 'val': range(7, 8), 'test': range(8, 10)}
"""Which source digits a split may use: those whose rank within their class has this last digit."""


@dataclass(frozen=True)
class DrawnDigit:
    """One digit of a scene.

    Attributes:
        label: Its class in the annotation, 0 to 9.
        box: Left, top, right, bottom in pixels from 0; right and
            bottom are exclusive.
        smudged: Whether its pixels say nothing about its label.
        source: Index into ``load_digits().images`` of the image that was drawn.
    """

    label: int
    box: tuple[int, int, int, int]
    smudged: bool
    source: int


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Digit images (1797, 8, 8) uint8 from 0 to 240, and their classes (1797,).

    Raises:
        UsageError: If scikit-learn, which holds the digits, is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(
            'the demo scenes are made from digits of scikit-learn, which is not installed: '
            'run pip install scikit-learn'
        ) from error
    digits = load_digits()
    return (digits.images * 15).astype(np.uint8), digits.target


@cache
def source_digits(split: str) -> tuple[np.ndarray, ...]:
    """Indices of the source digits of a split, one array per class; splits share none."""
    _, targets = _digits()
    pools = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(targets == label)
        pools.append(members[np.isin(np.arange(len(members)) % 10, list(SOURCE_SPLITS[split]))])
    return tuple(pools)


def draw_scene(
    split: str, rng: np.random.Generator, size: int = CANVAS
) -> tuple[np.ndarray, list[DrawnDigit]]:
    """Draw one scene of a split.

    Args:
        split: 'train', 'val' or 'test': whose source digits to draw from.
        rng: Source of every random choice.
        size: Height and width of the scene; the digits keep theirs.

    Returns:
        The picture, (size, size, 3) uint8 RGB, and its digits, the anchor first.
    """
    anchor, companions, smudged = sample_scene(rng)
    canvas = _background(rng, size)
    if anchor is None:
        return canvas.astype(np.uint8), []
    drawn: list[DrawnDigit] = []
    for label, smudge in zip((anchor, *companions), (False, *smudged), strict=True):
        low, high = COMPANION_SIZES if drawn else ANCHOR_SIZES
        side = int(rng.integers(low, high + 1))
        box = _free_box(side, size, [digit.box for digit in drawn], rng)
        source, patch = pick_patch(label, smudge, source_digits(split), rng)
        _paint(canvas, patch, box, rng)
        drawn.append(DrawnDigit(label, box, smudge, source))
    return canvas.astype(np.uint8), drawn


def pick_patch(
    label: int, smudged: bool, pools: tuple[np.ndarray, ...], rng: np.random.Generator
) -> tuple[int, np.ndarray]:
    """Pick the 8x8 patch of a digit.

    A smudge is a digit of a uniformly random class with its 64 pixels shuffled: ``label`` has no
    part in it, so it holds no information on the label.

    Returns:
        Index of the source digit, and its pixels, (8, 8) uint8.
    """
    shown = int(rng.integers(len(pools))) if smudged else label
    source = int(pools[shown][rng.integers(len(pools[shown]))])
    patch = _digits()[0][source]
    return source, rng.permutation(patch.reshape(-1)).reshape(8, 8) if smudged else patch


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A dark gradient with mild noise, (size, size, 3) int32."""
    corners = rng.integers(15, 80, size=(3, 3))  # top left, change to the right, change downwards
    steps = np.arange(size)
    across, down = steps[None, :, None], steps[:, None, None]
    base = corners[0] + ((corners[1] - 47) * across + (corners[2] - 47) * down) // (2 * size)
    return np.clip(base + rng.integers(-6, 7, size=(size, size, 1)), 0, 255).astype(np.int32)


def _free_box(
    side: int, size: int, taken: list[tuple[int, int, int, int]], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A uniformly random square that keeps one pixel between itself and every taken box.

    The sizes above always leave room: in 50 x 50, there is a band of at least 15 pixels beside an
    anchor.
    """
    while True:
        left, top = (int(v) for v in rng.integers(0, size - side + 1, size=2))
        box = (left, top, left + side, top + side)
        if all(
            box[0] > other[2] or other[0] > box[2] or box[1] > other[3] or other[1] > box[3]
            for other in taken
        ):
            return box


def _paint(
    canvas: np.ndarray,
    patch: np.ndarray,
    box: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> None:
    """Blend an 8x8 patch, enlarged to its box, into the canvas in a random bright tint."""
    left, top, right, bottom = box
    enlarged = Image.fromarray(patch).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    alpha = np.asarray(enlarged, dtype=np.int32)[:, :, None]
    tint = rng.integers(185, 256) - rng.integers(0, 40, size=3)
    area = canvas[top:bottom, left:right]
    area[:] = (area * (255 - alpha) + tint.astype(np.int32) * alpha) // 255
