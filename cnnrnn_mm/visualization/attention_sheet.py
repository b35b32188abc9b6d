# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A photo and one heat map a step, laid over it. All lengths are in pixels.

Axis letters: H, W sides of a heat map, h, w sides of the photo.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from .label_font import elide, label_font
from .label_style import INK, MUTED, PAPER, TRACK, format_share
from .numbered_tag import draw_tag, tag_size

__all__ = ['HeatPanel', 'draw_attention_sheet', 'lay_over']

COLOURS = 'inferno'
#: Long edge of a photo on the sheet, by the number of panels that it suits.
EDGES = ((4, 320), (9, 260), (16, 220))
LEAST_EDGE = 180
#: Least width of a panel, in sizes of the text.
LEAST_WIDTH = 11
TAG = '#1f2933'


class HeatPanel(NamedTuple):
    """One step.

    Attributes:
        tag: What stands in front of the name: the step's number.
        name: Of the label.
        prob: Its probability, in [0, 1]; None for none.
        heat: (H, W), in [0, 1].
    """

    tag: str
    name: str
    prob: float | None
    heat: np.ndarray


def draw_attention_sheet(
    photo: np.ndarray,
    panels: Sequence[HeatPanel],
    extent: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    note: str = '',
    font_size: int = 15,
) -> Image.Image:
    """Draw one sheet: the photo, then the panels, row by row, and a scale below.

    Args:
        photo: (h, w, 3) uint8, RGB.
        panels: The steps, in order; none leaves the photo alone.
        extent: x1, y1, x2, y2 as shares of the photo's width and height: what the maps cover.
        note: Said below, such as the method.
        font_size: Of the text.

    Returns:
        An RGB image.
    """
    edge = next((size for most, size in EDGES if len(panels) < most), LEAST_EDGE)
    small = _fit(photo, edge)
    cells = [_cell(small, '', 'photo', None, font_size)]
    for panel in panels:
        drawn = Image.fromarray(lay_over(np.asarray(small), panel.heat, extent))
        if not np.any(panel.heat > 0):
            _say_nothing(drawn, font_size)
        cells.append(_cell(drawn, panel.tag, panel.name, panel.prob, font_size))
    width, height = cells[0].size
    gap, foot = font_size, round(2.6 * font_size)
    columns = _columns(len(cells), width + gap, height + gap)
    rows = math.ceil(len(cells) / columns)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap + foot)
    sheet = Image.new('RGB', size, PAPER)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        sheet.paste(cell, (gap + column * (width + gap), gap + row * (height + gap)))
    _draw_foot(sheet, note, font_size, gap, size[1] - foot - gap // 3)
    return sheet


def lay_over(
    photo: np.ndarray,
    heat: np.ndarray,
    extent: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> np.ndarray:
    """A photo with a heat map over it; what the map does not cover is darkened.

    Args:
        photo: (h, w, 3) uint8, RGB.
        heat: (H, W), in [0, 1].
        extent: x1, y1, x2, y2 as shares of the photo's width and height: what the map covers.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    h, w = photo.shape[:2]
    left, top, right, bottom = _pixels(extent, (w, h))
    scaled = Image.fromarray(np.asarray(heat, np.float32)).resize(
        (right - left, bottom - top), Image.Resampling.BILINEAR
    )
    value = np.clip(np.asarray(scaled), 0, 1)[..., None]
    colour = 255 * matplotlib.colormaps[COLOURS](value[..., 0])[..., :3]
    grey = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    base = 0.75 * grey[..., None].repeat(3, 2)
    part = base[top:bottom, left:right]
    share = 0.25 + 0.55 * np.sqrt(value)
    drawn = 0.3 * base
    drawn[top:bottom, left:right] = (1 - share) * part + share * colour
    return drawn.round().clip(0, 255).astype(np.uint8)


def _pixels(extent: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge, at least one pixel apart."""
    low = [min(max(round(extent[k] * size[k]), 0), size[k] - 1) for k in (0, 1)]
    high = [max(min(round(extent[2 + k] * size[k]), size[k]), low[k] + 1) for k in (0, 1)]
    return low[0], low[1], high[0], high[1]


def _fit(photo: np.ndarray, edge: int) -> Image.Image:
    """The photo with a long edge of about ``edge``; small ones are magnified by whole numbers."""
    image = Image.fromarray(np.ascontiguousarray(photo))
    scale, smooth = edge / max(image.size), Image.Resampling.LANCZOS
    if scale >= 2:
        scale, smooth = math.floor(scale), Image.Resampling.NEAREST
    width, height = (max(round(side * scale), 1) for side in image.size)
    return image.resize((width, height), smooth)


def _cell(
    picture: Image.Image, tag: str, name: str, prob: float | None, font_size: int
) -> Image.Image:
    """A picture under its title."""
    font, line = label_font(font_size), round(1.9 * font_size)
    width = max(picture.width, LEAST_WIDTH * font_size)
    cell = Image.new('RGB', (width, picture.height + line), PAPER)
    canvas, middle, x = ImageDraw.Draw(cell), round(0.85 * font_size), 0.0
    number = '' if prob is None else format_share(prob)
    if tag:
        bold = label_font(round(0.8 * font_size), bold=True)
        tag_width, tag_height = tag_size(tag, bold)
        draw_tag(canvas, (0, middle - tag_height // 2), tag, TAG, bold)
        x = tag_width + 0.4 * font_size
    room = width - x - (font.getlength(number) + 0.6 * font_size if number else 0)
    font.draw(canvas, (x, middle), elide(name, font, room), INK if tag else MUTED)
    font.draw(canvas, (width, middle), number, INK, 'right')
    cell.paste(picture, ((width - picture.width) // 2, line))
    return cell


def _say_nothing(picture: Image.Image, font_size: int) -> None:
    """What stands in a map that is 0 everywhere."""
    font, canvas = label_font(round(0.85 * font_size)), ImageDraw.Draw(picture)
    text = elide('nothing speaks for it', font, picture.width)
    middle, half = picture.height // 2, round(0.8 * font_size)
    canvas.rectangle((0, middle - half, picture.width, middle + half), INK)
    font.draw(canvas, (picture.width / 2, middle), text, PAPER, 'centre')


def _columns(count: int, width: int, height: int) -> int:
    """So many that the sheet is about 3 : 2 and few places in it stay empty."""

    def off(columns: int) -> tuple[float, int]:
        rows = math.ceil(count / columns)
        empty = rows * columns - count
        return abs(math.log(columns * width / (rows * height) / 1.5)) + 0.25 * empty, columns

    return min(range(1, count + 1), key=off)


def _draw_foot(sheet: Image.Image, note: str, font_size: int, left: int, top: int) -> None:
    """The scale of colours, and the note."""
    canvas, font = ImageDraw.Draw(sheet), label_font(round(0.85 * font_size))
    middle, x = top + font_size, float(left)
    bar = round(6 * font_size)
    font.draw(canvas, (x, middle), '0', MUTED)
    x += font.getlength('0') + 0.4 * font_size
    heat = np.linspace(0, 1, bar, dtype=np.float32)[None].repeat(round(0.8 * font_size), 0)
    scale = Image.fromarray(lay_over(np.full((*heat.shape, 3), 128, np.uint8), heat))
    sheet.paste(scale, (round(x), middle - scale.height // 2))
    canvas.rectangle(
        (x, middle - scale.height // 2, x + bar, middle + scale.height // 2), outline=TRACK
    )
    x += bar + 0.4 * font_size
    text = "each map's own maximum" + (f'.  {note}' if note else '')
    font.draw(canvas, (x, middle), elide(text, font, sheet.width - x - left), MUTED)
