# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The lines of a path tree, as wide as the probability that flows through them."""

import numpy as np
from PIL import Image, ImageDraw

from .label_style import INK, PAPER
from .path_tree_layout import PlacedChain, TreeLayout

__all__ = ['BEST', 'draw_edges']

#: Of the most probable path, and of the others.
BEST, OTHER = '#0072b2', '#ccd4db'
#: Lines are drawn so many times larger, then shrunk, while that takes no more pixels than this.
SMOOTHING, MOST_PIXELS = 4, 24e6


def draw_edges(
    image: Image.Image, layout: TreeLayout, total: float | None, font_size: int, top: int
) -> None:
    """Draw the lines on the image, below which the labels will stand.

    Args:
        image: To draw on, RGB.
        layout: Of the tree.
        total: The mass of all paths, which is as wide as a label is high; None if unknown.
        font_size: Size of the text in pixels.
        top: Where the tree starts.
    """
    width, height = image.width, image.height - top
    smoothing = SMOOTHING
    while smoothing > 1 and width * height * smoothing**2 > MOST_PIXELS:
        smoothing -= 1
    large = Image.new('RGB', (width * smoothing, height * smoothing), PAPER)
    drawer = _EdgeDrawer(ImageDraw.Draw(large), layout, total, font_size, smoothing)
    if layout.is_wide:
        drawer.draw_wide()
    else:
        drawer.draw_narrow()
    image.paste(large.reduce(smoothing), (0, top))


class _EdgeDrawer:
    def __init__(
        self,
        canvas: ImageDraw.ImageDraw,
        layout: TreeLayout,
        total: float | None,
        size: int,
        smoothing: int,
    ) -> None:
        self.canvas = canvas
        self.placed = layout.placed
        self.total = total
        self.size = size
        self.smoothing = smoothing

    def draw_wide(self) -> None:
        """Ribbons that leave a chain side by side, the first child's on top."""
        most = 1.2 * self.size
        groups: dict[int, list[PlacedChain]] = {}
        for one in self.placed:
            groups.setdefault(id(one.parent), []).append(one)
        ribbons = []
        for children in groups.values():
            parent = children[0].parent
            widths = [self._width(one, most) for one in children]
            y = children[0].middle - widths[0] / 2  # the first one's is level
            if parent is None:
                start = 0.4 * self.size
                bar = (0, y, start, y + sum(widths))
                self.canvas.rectangle([edge * self.smoothing for edge in bar], INK)
            else:
                start = parent.number_right + 0.3 * self.size
            for one, width in zip(children, widths, strict=True):
                ribbons.append((one, start, y + width / 2, width))
                y += width
        for one, x, y, width in sorted(ribbons, key=lambda ribbon: ribbon[0].chain.on_best):
            self._ribbon(
                (x, y), (one.left, one.middle), width, BEST if one.chain.on_best else OTHER
            )

    def draw_narrow(self) -> None:
        """Lines down from a chain's left edge, and then to the right; wide ones first."""
        most = 0.5 * self.size
        order = sorted(self.placed, key=lambda one: (one.chain.on_best, -one.top))
        indent = self.placed[0].left
        for one in order:
            x = one.left - indent + 0.45 * indent
            above = 0.0 if one.parent is None else one.parent.middle
            colour = BEST if one.chain.on_best else OTHER
            half = self._width(one, most) / 2
            y = one.middle
            for box in ((x - half, above, x + half, y + half), (x, y - half, one.left, y + half)):
                self.canvas.rectangle([edge * self.smoothing for edge in box], colour)

    def _width(self, one: PlacedChain, most: float) -> float:
        mass = one.chain.mass
        share = mass / self.total if mass is not None and self.total else 0.15
        return max(most * share, max(self.size / 12, 1))

    def _ribbon(
        self, start: tuple[float, float], end: tuple[float, float], width: float, colour: str
    ) -> None:
        """A curve that starts and ends level, of the same height all along."""
        along = np.linspace(0, 1, 33 if start[1] != end[1] else 2)
        x = start[0] + along * (end[0] - start[0] + 1)
        y = start[1] + along**2 * (3 - 2 * along) * (end[1] - start[1])
        upper = list(zip(x, y - width / 2, strict=True))
        lower = list(zip(x, y + width / 2, strict=True))
        outline = np.array(upper + lower[::-1]) * self.smoothing
        self.canvas.polygon([tuple(point) for point in outline], colour)
