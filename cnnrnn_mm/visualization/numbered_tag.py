# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A small number on coloured ground, on a photo and beside the label it stands for."""

from PIL import ImageDraw

from .label_font import LabelFont

__all__ = ['draw_tag', 'tag_size']

#: Around the tag, so that it stands out from a photo of its colour.
RIM = '#ffffff'


def tag_size(text: str, font: LabelFont) -> tuple[int, int]:
    """Width and height of a tag in pixels, its rim included."""
    height = round(1.25 * font.size) + 2
    return max(round(font.getlength(text) + 0.5 * font.size) + 2, height), height


def draw_tag(
    canvas: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    colour: str,
    font: LabelFont,
) -> None:
    """Draw a tag.

    Args:
        canvas: To draw on.
        corner: Its left and its top edge in pixels.
        text: A number.
        colour: Of the ground; the number is white.
        font: Of the number.
    """
    (left, top), (width, height) = corner, tag_size(text, font)
    canvas.rectangle((left, top, left + width - 1, top + height - 1), colour, RIM)
    font.draw(canvas, (left + width / 2, top + height / 2), text, RIM, 'centre')
