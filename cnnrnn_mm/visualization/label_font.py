# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Text in one line with Pillow, whatever its script. All lengths are in pixels."""

from bisect import bisect_right
from functools import lru_cache
from typing import Literal

from PIL import ImageDraw, ImageFont

from .fallback_fonts import font_runs, own_font_file

__all__ = ['LabelFont', 'elide', 'label_font', 'load_font']


@lru_cache(maxsize=64)
def _load_file(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@lru_cache(maxsize=8192)
def _length(file: str, size: int, text: str) -> float:
    return _load_file(file, size).getlength(text)


def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships, at ``size`` pixels: for text known to be Latin."""
    return _load_file(own_font_file(bold), size)


class LabelFont:
    """DejaVu Sans, and other installed fonts for the characters that it lacks.

    Args:
        size: In pixels.
        bold: Of the characters that DejaVu Sans has.
    """

    def __init__(self, size: int, bold: bool = False) -> None:
        self.size = size
        self.bold = bold
        ascent, descent = load_font(size, bold).getmetrics()
        self._to_baseline = (ascent - descent) / 2

    def getlength(self, text: str) -> float:
        """Width of a text."""
        return sum(_length(file, self.size, run) for run, file in self._runs(text))

    def draw(
        self,
        canvas: ImageDraw.ImageDraw,
        place: tuple[float, float],
        text: str,
        colour: str,
        anchor: Literal['left', 'centre', 'right'] = 'left',
    ) -> None:
        """Draw a text; ``place`` is its left, central or right point, at half its height."""
        x, middle = place
        if anchor != 'left':
            x -= self.getlength(text) / (2 if anchor == 'centre' else 1)
        for run, file in self._runs(text):
            font = _load_file(file, self.size)
            canvas.text((x, middle + self._to_baseline), run, colour, font, anchor='ls')
            x += _length(file, self.size, run)

    def _runs(self, text: str) -> tuple[tuple[str, str], ...]:
        return font_runs(text, self.bold)


@lru_cache(maxsize=32)
def label_font(size: int, bold: bool = False) -> LabelFont:
    """The font of that size, made once."""
    return LabelFont(size, bold)


def elide(text: str, font: LabelFont | ImageFont.FreeTypeFont, width: float) -> str:
    """``text``, cut with an ellipsis if it is wider than ``width``."""
    text = ' '.join(text.split())
    if font.getlength(text) <= width:
        return text
    shown = bisect_right(range(len(text)), width, key=lambda n: font.getlength(text[:n] + '…')) - 1
    return text[: max(shown, 0)].rstrip() + '…'
