# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The kept paths of a search drawn as a tree. All lengths are in pixels."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..errors import UsageError
from .label_font import label_font
from .label_style import INK, MUTED, PAPER, PLAIN, RIGHT, TRACK, WRONG, Label, format_share
from .path_tree import build_path_tree, merge_chains
from .path_tree_edges import BEST, draw_edges
from .path_tree_layout import lay_out_tree, small_size

__all__ = ['draw_path_tree', 'render_path_tree']

LEAST_WIDTH = 160


def draw_path_tree(
    paths: Sequence[Sequence[str]],
    probs: Sequence[float] | None,
    width: int = 720,
    truth: Sequence[str] | None = None,
    font_size: int = 16,
    max_labels: int = 30,
) -> np.ndarray:
    """Draw the tree alone.

    Paths that begin alike share their labels. The number behind a label, and the width of the line
    before it, is the sum of the probabilities of the paths through it. The most probable path is
    blue, and on top. Each path ends with END. Where the width has no room for the tree from left
    to right, it becomes a list that is indented.

    Args:
        paths: Label names of each kept path, without END, each path once.
        probs: Probability of each path with its END; None draws no numbers, and the first path is
            taken as the best one.
        width: Of the picture in pixels, at least 160; its height follows from the tree.
        truth: Names of the true labels, by which the paths' labels are judged; None if unknown.
        font_size: Size of the text in pixels.
        max_labels: Most labels to show between two branches; the rest is counted.

    Returns:
        Array (height, width, 3), RGB, uint8.

    Raises:
        UsageError: If there is not one probability in 0 to 1 for each path, if a path comes twice,
            or if the width is too small.
    """
    known = None if truth is None else set(truth)

    def label_of(name: Hashable) -> Label:
        verdict = PLAIN if known is None else RIGHT if name in known else WRONG
        return str(name), verdict

    margin = round(0.75 * font_size)
    tree = render_path_tree(
        [list(path) for path in paths], probs, label_of, font_size, width - 2 * margin, max_labels
    )
    drawn = Image.new('RGB', (width, tree.height + 2 * margin), PAPER)
    drawn.paste(tree, (margin, margin))
    return np.asarray(drawn).copy()


def render_path_tree(
    paths: Sequence[Sequence[Hashable]],
    probs: Sequence[float] | None,
    label_of: Callable[[Hashable], Label],
    font_size: int,
    width: int,
    max_labels: int,
) -> Image.Image:
    """Draw a heading and the tree without a margin; arguments as above, but for ``label_of``.

    Args:
        paths: Labels of any kind.
        probs: As above.
        label_of: Name and look of a label.
        font_size: As above.
        width: As above.
        max_labels: As above.
    """
    if width < LEAST_WIDTH - 2 * font_size:
        raise UsageError(f'a tree of {width} pixels is too narrow: give at least {LEAST_WIDTH}')
    root = build_path_tree(paths, probs)
    layout = lay_out_tree(merge_chains(root), label_of, font_size, width, max_labels)
    head = round(1.6 * font_size) + max(round(font_size / 16), 1) * 3 + round(0.4 * font_size)
    image = Image.new('RGB', (width, head + layout.height), PAPER)
    if layout.placed:
        draw_edges(image, layout, root.mass, font_size, head)
    canvas = ImageDraw.Draw(image)
    text = 'KEPT PATH' if len(paths) == 1 else f'{len(paths) or "NO"} KEPT PATHS'
    note = '' if len(paths) < 2 or root.mass is None else f'together {format_share(root.mass)}'
    _draw_heading(canvas, text, note, font_size, width)
    number_font = label_font(small_size(font_size), bold=True)
    for one in layout.placed:
        on_best = one.chain.on_best
        one.flow.draw(canvas, one.left, one.top + head, BEST if on_best else None)
        at = one.number_right, one.middle + head
        number_font.draw(canvas, at, one.number, INK if on_best else MUTED, 'right')
    return image


def _draw_heading(
    canvas: ImageDraw.ImageDraw, text: str, note: str, font_size: int, width: int
) -> None:
    """As the headings of the panel."""
    font, thin = label_font(max(round(0.78 * font_size), 8), bold=True), max(font_size // 16, 1)
    line = round(1.6 * font_size)
    if font.getlength(text) + font_size + font.getlength(note) > width:
        note = note.split()[-1] if note else ''
    font.draw(canvas, (0, line // 2), text, MUTED)
    font.draw(canvas, (width, line // 2), note, INK, 'right')
    canvas.line((0, line, width, line), TRACK, thin)
