# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A column of headings, labels and bars, drawn with Pillow. All lengths are in pixels."""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

from .label_flow import LabelFlow
from .label_font import elide, label_font, load_font
from .label_style import (
    INK,
    MISSED,
    MUTED,
    PAPER,
    PLAIN,
    RIGHT,
    TRACK,
    WRONG,
    Label,
    Verdict,
)
from .numbered_tag import draw_tag, tag_size

__all__ = [
    'INK',
    'MISSED',
    'PAPER',
    'PLAIN',
    'RIGHT',
    'WRONG',
    'Label',
    'LabelPanel',
    'Verdict',
    'elide',
    'load_font',
]


class LabelPanel:
    """Blocks stacked from top to bottom, drawn by :meth:`render` once the height is known.

    Args:
        font_size: Size of the text; the panel is 24 to 36 times as wide.
        names: What rows will hold; the panel gets wider where one of them needs it.
    """

    def __init__(self, font_size: int, names: Sequence[str] = ()) -> None:
        self.size = font_size
        self.line = round(1.6 * font_size)
        self.thin = max(round(font_size / 16), 1)
        self.font = label_font(font_size)
        widest = max((self.font.getlength(name) for name in names), default=0.0)
        self.name_room = min(max(math.ceil(widest), round(10.7 * font_size)), 23 * font_size)
        self.width = self.name_room + round(13.3 * font_size)
        self.small = label_font(max(round(0.78 * font_size), 8), bold=True)
        self._blocks: list[tuple[int, Callable[[ImageDraw.ImageDraw, int], None]]] = []

    def heading(self, text: str, note: str = '') -> None:
        """A heading with a note at the right edge, set off from what stands above."""
        space = round(0.7 * self.size) if self._blocks else 0

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            middle = top + space + self.line // 2
            self.small.draw(canvas, (0, middle), text, MUTED)
            self.small.draw(canvas, (self.width, middle), note, INK, 'right')
            bottom = top + space + self.line - 2 * self.thin
            canvas.line((0, bottom, self.width, bottom), TRACK, self.thin)

        self._blocks.append((space + self.line + 3 * self.thin, draw))

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
                self.font.draw(canvas, (1.3 * self.size, middle), lead, MUTED, 'right')
            self.font.draw(
                canvas, (2.2 * self.size, middle), verdict.mark, verdict.colour, 'centre'
            )
            gap = 0.5 * self.size if aside else 0
            text = elide(name, self.font, room - gap - self.small.getlength(aside))
            self.font.draw(canvas, (start, middle), text, verdict.colour)
            end_of_name = start + self.font.getlength(text) + gap
            self.small.draw(canvas, (end_of_name, middle), aside, MUTED)
            self.font.draw(canvas, (self.width, middle), number, INK, 'right')
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
            self.font.draw(canvas, place, text_, MUTED)

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
        left = round(3.9 * self.size) if lead else 0
        chips = LabelFlow(labels, self.font, self.width - left, joint, lines)

        def draw(canvas: ImageDraw.ImageDraw, top: int) -> None:
            self.font.draw(canvas, (0, top + self.line // 2), lead, INK)
            chips.draw(canvas, left, top)

        self._blocks.append((chips.lines * self.line, draw))

    def render(self) -> Image.Image:
        """Draw everything on an RGB image of the panel's width and of the height it needs."""
        height = max(sum(height for height, _ in self._blocks), 1)
        image = Image.new('RGB', (self.width, height), PAPER)
        canvas, top = ImageDraw.Draw(image), 0
        for height, draw in self._blocks:
            draw(canvas, top)
            top += height
        return image
