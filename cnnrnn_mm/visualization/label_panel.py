# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A column of headings, labels and bars, drawn with Pillow. All lengths are in pixels."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from .numbered_tag import draw_tag, tag_size

PAPER = '#ffffff'
INK = '#1f2933'
MUTED = '#67727e'
TRACK = '#e9edf0'


class Verdict(NamedTuple):
    """How a label looks: a mark besides the colour, so that colour alone tells nothing."""

    mark: str
    colour: str
    tint: str


PLAIN = Verdict('', INK, '#eceff3')
RIGHT = Verdict('✓', '#00705a', '#dcf1eb')
WRONG = Verdict('✗', '#b5370a', '#fbe4da')
MISSED = Verdict('○', '#7a5900', '#fbefcf')

Label = tuple[str, Verdict]


@lru_cache(maxsize=16)
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships, at ``size`` pixels."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def elide(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """``text``, cut with an ellipsis if it is wider than ``width``."""
    text = ' '.join(text.split())
    if font.getlength(text) <= width:
        return text
    shown = bisect_right(range(len(text)), width, key=lambda n: font.getlength(text[:n] + '…')) - 1
    return text[: max(shown, 0)].rstrip() + '…'


class LabelPanel:
    """Blocks stacked from top to bottom, drawn by :meth:`render` once the height is known.

    Args:
        font_size: Size of the text; the panel is 24 to 36 times as wide.
        names: What rows will hold; the panel gets wider where one of them needs it.
    """

    def __init__(self, font_size: int, names: Sequence[str] = ()) -> None:
        self.size = font_size
        self.line = round(1.6 * font_size)
        self.font = load_font(font_size)
        widest = max((self.font.getlength(name) for name in names), default=0.0)
        self.name_room = min(max(math.ceil(widest), round(10.7 * font_size)), 23 * font_size)
        self.width = self.name_room + round(13.3 * font_size)
        self.small = load_font(max(round(0.78 * font_size), 8), bold=True)
        self._blocks: list[tuple[int, Callable[[ImageDraw.ImageDraw, int], None]]] = []

    def heading(self, text: str, note: str = '') -> None:
        """A heading with a note at the right edge, set off from what stands above."""
        space = round(0.7 * self.size) if self._blocks else 0

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            middle = top + space + self.line // 2
            canvas.text((0, middle), text, MUTED, self.small, anchor='lm')
            canvas.text((self.width, middle), note, INK, self.small, anchor='rm')
            bottom = top + space + self.line - 2
            canvas.line((0, bottom, self.width, bottom), TRACK, 1)

        self._blocks.append((space + self.line + 3, draw))

    def row(
        self,
        lead: str,
        label: Label,
        share: float | None = None,
        number: str = '',
        tagged: bool = False,
        aside: str = '',
    ) -> None:
        """One label in a line of its own: lead, mark, name, aside, bar, number.

        Args:
            lead: Short text before the label, such as the step.
            label: Name and verdict.
            share: Length of the bar, 0 to 1. None draws no bar, and leaves its place to the name.
            number: Text after the bar.
            tagged: Draw the lead as a tag of the label's colour, as it stands on the photo.
            aside: Small grey text after the name.
        """
        name, verdict = label
        start, end = 3.1 * self.size, self.width - 3.6 * self.size
        bar = (start + self.name_room + 0.4 * self.size, end)
        room = self.name_room if share is not None else self.width - start

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            middle, half = top + self.line // 2, round(0.34 * self.size)
            if tagged:
                width, height = tag_size(lead, self.small)
                corner = round(1.45 * self.size) - width, middle - height // 2
                draw_tag(canvas, corner, lead, verdict.colour, self.small)
            else:
                canvas.text((1.3 * self.size, middle), lead, MUTED, self.font, anchor='rm')
            canvas.text((2.2 * self.size, middle), verdict.mark, verdict.colour, self.font, 'mm')
            gap = 0.5 * self.size if aside else 0
            text = elide(name, self.font, room - gap - self.small.getlength(aside))
            canvas.text((start, middle), text, verdict.colour, self.font, anchor='lm')
            end_of_name = start + self.font.getlength(text) + gap
            canvas.text((end_of_name, middle), aside, MUTED, self.small, anchor='lm')
            canvas.text((self.width, middle), number, INK, self.font, anchor='rm')
            if share is not None:
                filled = bar[0] + min(max(share, 0.0), 1.0) * (bar[1] - bar[0])
                canvas.rectangle((bar[0], middle - half, bar[1], middle + half), TRACK)
                if filled >= bar[0] + 1:
                    canvas.rectangle((bar[0], middle - half, filled, middle + half), verdict.colour)

        self._blocks.append((self.line, draw))

    def note(self, text: str) -> None:
        """One line of grey text."""

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            place = (3.1 * self.size, top + self.line // 2)
            text_ = elide(text, self.font, self.width - place[0])
            canvas.text(place, text_, MUTED, self.font, anchor='lm')

        self._blocks.append((self.line, draw))

    def flow(
        self, labels: Sequence[Label], lead: str = '', joint: str = '', lines: int = 2
    ) -> None:
        """Labels one after the other on tinted ground, in at most ``lines`` lines.

        What does not fit is counted as ``+n``.

        Args:
            labels: Names and verdicts.
            lead: Text before the first label; later lines start below that label.
            joint: Text between two labels.
            lines: Most lines to fill.
        """
        pad = round(0.35 * self.size)
        left = round(3.9 * self.size) if lead else 0
        gap = self.font.getlength(joint) + (2 * pad if joint else pad)
        texts = [
            elide(f'{verdict.mark} {name}'.strip(), self.font, self.width - left - 2 * pad)
            for name, verdict in labels
        ]
        places: list[tuple[float, int]] = []
        x, line = float(left), 0
        for text in texts:
            room = self.font.getlength(text) + 2 * pad
            if x > left and x + room > self.width:
                x, line = float(left), line + 1
            places.append((x, line))
            x += room + gap
        shown = sum(line < lines for _, line in places)

        def end_of(index: int) -> float:
            return places[index][0] + self.font.getlength(texts[index]) + 2 * pad

        rest, rest_at = '', (float(left), lines - 1)
        while shown < len(texts):
            rest = f'+{len(texts) - shown}'
            if shown == 0 or places[shown - 1][1] < lines - 1:
                break  # the last line is free for it
            rest_at = (end_of(shown - 1) + pad, lines - 1)
            if rest_at[0] + self.font.getlength(rest) <= self.width:
                break
            shown, rest_at = shown - 1, (float(left), lines - 1)

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            canvas.text((0, top + self.line // 2), lead, INK, self.font, anchor='lm')
            half = round(0.68 * self.size)
            for i in range(shown):
                (x, line), verdict = places[i], labels[i][1]
                middle = top + line * self.line + self.line // 2
                box = (x, middle - half, end_of(i), middle + half)
                canvas.rounded_rectangle(box, 0.3 * self.size, verdict.tint)
                canvas.text((x + pad, middle), texts[i], verdict.colour, self.font, anchor='lm')
                if joint and i + 1 < shown and places[i + 1][1] == line:
                    canvas.text((box[2] + pad, middle), joint, MUTED, self.font, anchor='lm')
            if rest:
                middle = top + rest_at[1] * self.line + self.line // 2
                canvas.text((rest_at[0], middle), rest, MUTED, self.font, anchor='lm')

        used = lines if rest else places[-1][1] + 1
        self._blocks.append((used * self.line, draw))

    def render(self) -> Image.Image:
        """Draw everything on an RGB image of the panel's width and of the height it needs."""
        height = max(sum(height for height, _ in self._blocks), 1)
        image = Image.new('RGB', (self.width, height), PAPER)
        canvas, top = ImageDraw.Draw(image), 0
        for height, draw in self._blocks:
            draw(canvas, top)
            top += height
        return image
