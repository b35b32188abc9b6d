# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Photos of one image of a dataset beside its labels in the order in which they are learnt."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .label_panel import INK, MISSED, PAPER, PLAIN, LabelPanel, elide, load_font

__all__ = ['draw_order_sheet']

FONT_SIZE = 16
MARGIN = 16
#: Photos beside each other; more make more rows.
MOST_COLUMNS = 3
#: Long edge in pixels of a photo that stands alone, and of one of several.
ALONE, OF_SEVERAL = 560, 300


def draw_order_sheet(
    photos: Sequence[tuple[str, np.ndarray]],
    labels: Sequence[int],
    classes: Sequence[str] | None,
    order: str | None,
    caption: str = '',
    notes: Sequence[str] = (),
    difficult: Sequence[int] = (),
    rescale_factor: float | None = None,
    max_labels: int = 30,
) -> Image.Image:
    """Draw one sheet.

    Args:
        photos: Titles and images of shape (h, w), (h, w, 1) or (h, w, 3), RGB. Other values than 0
            to 255, as after normalisation, are stretched to that range.
        labels: Class ids in the order learnt, or as the dataset has them where ``order`` is None.
        classes: Class names; None draws ids.
        order: Name of the label order; None if there is none.
        caption: First line, such as the image's number and path.
        notes: Further lines.
        difficult: Class ids of which the image shows difficult objects only.
        rescale_factor: Factor for the photos' sizes, instead of their automatic sizes.
        max_labels: Most labels to draw; the rest is counted.

    Returns:
        An RGB image.
    """
    edge = ALONE if len(photos) == 1 else OF_SEVERAL
    tiles = [_draw_tile(title, image, edge, rescale_factor) for title, image in photos]
    panel = _build_panel(labels, classes, order, caption, notes, difficult, max_labels).render()
    rows = [tiles[i : i + MOST_COLUMNS] for i in range(0, len(tiles), MOST_COLUMNS)]
    widths = [sum(tile.width + MARGIN for tile in row) for row in rows]
    heights = [max(tile.height for tile in row) + MARGIN for row in rows]
    left = max(widths) + MARGIN
    size = (left + panel.width + MARGIN, max(sum(heights), panel.height + MARGIN) + MARGIN)
    sheet = Image.new('RGB', size, PAPER)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for tile in row:
            sheet.paste(tile, (x, top))
            x += tile.width + MARGIN
        top += height
    sheet.paste(panel, (left, MARGIN))
    return sheet


def _build_panel(
    labels: Sequence[int],
    classes: Sequence[str] | None,
    order: str | None,
    caption: str,
    notes: Sequence[str],
    difficult: Sequence[int],
    max_labels: int,
) -> LabelPanel:
    known = [] if classes is None else [one_line(name, place) for place, name in enumerate(classes)]

    def name(label: int) -> str:
        return known[label] if 0 <= label < len(known) else str(label)

    names = [name(label) for label in labels]
    panel = LabelPanel(FONT_SIZE, names[:max_labels])
    panel.heading('IMAGE', '')
    for line in (caption, *notes):
        panel.note(line)
    panel.heading('LABELS', 'in no order' if order is None else order.replace('_', ' '))
    for step, text in enumerate(names[:max_labels], start=1):
        panel.row('' if order is None else str(step), (text, PLAIN))
    if len(names) > max_labels:
        panel.note(f'and {len(names) - max_labels} more')
    if not names:
        panel.note('no label')
    if order is not None:
        panel.row(str(len(names) + 1), ('END', PLAIN))
    if len(difficult):
        panel.heading('DIFFICULT OBJECTS ONLY')
        panel.flow([(name(label), MISSED) for label in difficult])
    return panel


def _draw_tile(
    title: str, image: np.ndarray, edge: int, rescale_factor: float | None
) -> Image.Image:
    """A photo under its title and size."""
    pixels = _to_pixels(image)
    height, width = pixels.shape[:2]
    scale = rescale_factor
    if scale is None:
        # small pictures are magnified by whole numbers, so that their pixels stay what they are
        scale = edge / max(height, width)
        scale = math.floor(scale) if scale >= 2 else min(scale, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    smooth = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    photo = Image.fromarray(pixels).resize(size, smooth)
    font, line = load_font(round(0.8 * FONT_SIZE)), round(1.5 * FONT_SIZE)
    text = f'{title}  {width} x {height}'
    room = max(photo.width, round(font.getlength(text)) if edge == ALONE else OF_SEVERAL // 2)
    tile = Image.new('RGB', (room, photo.height + line), PAPER)
    ImageDraw.Draw(tile).text((0, line // 2), elide(text, font, room), INK, font, anchor='lm')
    tile.paste(photo, (0, line))
    return tile


def _to_pixels(image: np.ndarray) -> np.ndarray:
    """An array (h, w, 3), uint8."""
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :1].repeat(3, axis=2) if image.shape[2] < 3 else image[..., :3]
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255 or (image.dtype.kind == 'f' and high <= 16):
        image = (image - low) * (255 / max(high - low, 1e-12))
    return np.ascontiguousarray(image.round().astype(np.uint8))


def one_line(name: str, place: int) -> str:
    """A class name on one line; its place where it is empty."""
    return ' '.join(str(name).split()) or f'#{place}'
