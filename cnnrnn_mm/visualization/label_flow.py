# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels on tinted ground one after the other, in lines. All lengths are in pixels."""

from collections.abc import Sequence

from PIL import ImageDraw

from .label_font import LabelFont, elide
from .label_style import MUTED, Label, Verdict

__all__ = ['LabelFlow']


class LabelFlow:
    """Labels in as many lines as they need, at most ``most_lines``.

    What does not fit is counted as ``+n``.

    Args:
        labels: Names and verdicts.
        font: Of the names; the lines are 1.6 times as high.
        width: Room for a line.
        joint: Text between two labels.
        most_lines: Most lines to fill.

    Attributes:
        lines: Number of lines that are filled.
        end: Right edge of what stands in the first line.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        font: LabelFont,
        width: float,
        joint: str = '',
        most_lines: int = 2,
    ) -> None:
        self.font = font
        self.line = round(1.6 * font.size)
        self.joint = joint
        self.pad = pad = round(0.35 * font.size)
        gap = font.getlength(joint) + (2 * pad if joint else pad)
        self.chips: list[tuple[str, Verdict, float]] = []  # name, look, width
        for name, verdict in labels:
            around = self._mark_room(verdict) + 2 * pad
            text = elide(name, font, width - around)
            self.chips.append((text, verdict, font.getlength(text) + around))
        places: list[tuple[float, int]] = []
        x, line = 0.0, 0
        for _, _, room in self.chips:
            if x > 0 and x + room > width:
                x, line = 0.0, line + 1
            places.append((x, line))
            x += room + gap
        self.places = places
        self.shown = sum(line < most_lines for _, line in places)
        self.rest, self.rest_at = '', (0.0, most_lines - 1)
        self._count_rest(width, most_lines)
        self.lines = most_lines if self.rest else places[-1][1] + 1 if places else 0
        ends = [self._end_of(i) for i in range(self.shown) if places[i][1] == 0]
        if self.rest and self.rest_at[1] == 0:
            ends.append(self.rest_at[0] + font.getlength(self.rest))
        self.end = max(ends, default=0.0)

    def draw(
        self, canvas: ImageDraw.ImageDraw, left: float, top: float, outline: str | None = None
    ) -> None:
        """Draw the labels.

        Args:
            canvas: To draw on.
            left: Left edge.
            top: Upper edge of the first line.
            outline: Colour of a line around each label.
        """
        half = round(0.68 * self.font.size)
        rim = max(round(self.font.size / 10), 1) if outline else 1
        for i, ((x, line), (text, verdict, _)) in enumerate(
            zip(self.places[: self.shown], self.chips, strict=False)
        ):
            x, middle = x + left, top + line * self.line + self.line // 2
            end = self._end_of(i) + left
            box = (x, middle - half, end, middle + half)
            canvas.rounded_rectangle(box, 0.3 * self.font.size, verdict.tint, outline, rim)
            self.font.draw(canvas, (x + self.pad, middle), verdict.mark, verdict.colour)
            at = x + self.pad + self._mark_room(verdict), middle
            self.font.draw(canvas, at, text, verdict.colour)
            if self.joint and i + 1 < self.shown and self.places[i + 1][1] == line:
                self.font.draw(canvas, (end + self.pad, middle), self.joint, MUTED)
        if self.rest:
            middle = top + self.rest_at[1] * self.line + self.line // 2
            self.font.draw(canvas, (self.rest_at[0] + left, middle), self.rest, MUTED)

    def _mark_room(self, verdict: Verdict) -> float:
        return self.font.getlength(f'{verdict.mark} ') if verdict.mark else 0.0

    def _end_of(self, index: int) -> float:
        return self.places[index][0] + self.chips[index][2]

    def _count_rest(self, width: float, most_lines: int) -> None:
        """Show so many labels less that the count of the others has room in the last line."""
        while self.shown < len(self.chips):
            self.rest = f'+{len(self.chips) - self.shown}'
            if self.shown == 0 or self.places[self.shown - 1][1] < most_lines - 1:
                return  # the last line is free for it
            self.rest_at = (self._end_of(self.shown - 1) + self.pad, most_lines - 1)
            if self.rest_at[0] + self.font.getlength(self.rest) <= width:
                return
            self.shown, self.rest_at = self.shown - 1, (0.0, most_lines - 1)
