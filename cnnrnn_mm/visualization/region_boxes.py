# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The regions of labels, drawn on a photo. All lengths are in pixels, but for boxes in shares."""

from typing import NamedTuple

from PIL import Image, ImageDraw

from .label_font import label_font
from .label_style import Verdict
from .numbered_tag import RIM, draw_tag, tag_size

__all__ = ['RegionMark', 'draw_regions']

Box = tuple[int, int, int, int]


class RegionMark(NamedTuple):
    """The region of one label.

    Attributes:
        number: What stands in the tag, here and beside the label.
        box: x1, y1, x2, y2 as shares of the photo's width and height.
        verdict: Of the label; gives the colour.
    """

    number: int
    box: tuple[float, float, float, float]
    verdict: Verdict

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole image, which needs no box."""
        return all(
            abs(ours - edge) < 1e-4 for ours, edge in zip(self.box, (0, 0, 1, 1), strict=True)
        )


def draw_regions(photo: Image.Image, marks: list[RegionMark], font_size: int) -> Image.Image:
    """The photo with a box for each region, and the tags of its labels.

    Labels of one region share a box, with a line in each of their colours, one inside the other.
    Lines have white rims, and the tags do not cover each other where there is room.

    Args:
        photo: As it will be seen.
        marks: Regions and labels; those of the whole image are left out.
        font_size: Size of the panel's text; lines and tags follow it.
    """
    groups: dict[Box, list[RegionMark]] = {}
    for mark in marks:
        if not mark.is_whole:
            groups.setdefault(_pixels(mark.box, photo.size), []).append(mark)
    if not groups:
        return photo
    photo = photo.copy()
    canvas = ImageDraw.Draw(photo)
    width = max(round(font_size / 8), 2)
    # Large boxes first, so that they cross no line of a small one.
    ordered = sorted(groups, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))
    for box in ordered:
        colours = dict.fromkeys(mark.verdict.colour for mark in groups[box])
        _draw_lines(canvas, box, list(colours), width)
    font = label_font(max(round(0.78 * font_size), 8), bold=True)
    taken: list[Box] = []
    for box in reversed(ordered):  # small boxes have the least choice
        sizes = [tag_size(str(mark.number), font) for mark in groups[box]]
        size = sum(one[0] for one in sizes), sizes[0][1]
        left, top = _find_place(box, size, photo.size, taken)
        taken.append((left, top, left + size[0], top + size[1]))
        for mark, (step, _) in zip(groups[box], sizes, strict=True):
            draw_tag(canvas, (left, top), str(mark.number), mark.verdict.colour, font)
            left += step
    return photo


def _pixels(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """Left, top, right and bottom edge, the last two exclusive; at least one pixel inside."""
    found = []
    for low, high, most in zip(box[:2], box[2:], size, strict=True):
        start = min(max(round(low * most), 0), most - 1)
        found.append((start, max(min(round(high * most), most), start + 1)))
    (left, right), (top, bottom) = found
    return left, top, right, bottom


def _draw_lines(canvas: ImageDraw.ImageDraw, box: Box, colours: list[str], width: int) -> None:
    """Inside the box, from the outside: a rim, the first colour, a rim, the next, ..., a rim."""
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    lines = [(RIM, 1)]
    for colour in colours:
        lines += [(colour, width), (RIM, 1)]
    for colour, thickness in lines:
        for _ in range(thickness):
            if left > right or top > bottom:
                return
            canvas.rectangle((left, top, right, bottom), outline=colour)
            left, top, right, bottom = left + 1, top + 1, right - 1, bottom - 1


def _find_place(
    box: Box, size: tuple[int, int], photo: tuple[int, int], taken: list[Box]
) -> tuple[int, int]:
    """Left and top edge of the tags: at a corner of the box, else along an edge, out- or inside.

    Of the places on the photo, the first one that covers least of what is taken.
    """
    (width, height), (left, top, right, bottom) = size, box
    columns = (left, right - width)
    rows = [top - height, top, bottom, bottom - height]
    if bottom - top < 2 * height:  # inside, they would hide the region
        rows = [top - height, bottom, top, bottom - height]
    places = [(x, y) for y in rows for x in columns]
    between = range(left + 1, right - width, max(height // 2, 1))
    places += [(x, y) for y in rows for x in between]  # along the edges
    between = range(top + 1, bottom - height, max(height // 2, 1))
    places += [(x, y) for x in (*columns, left - width, right) for y in between]

    def covered(place: tuple[int, int]) -> int:
        x, y = place
        shared = [
            max(min(x + width, one[2]) - max(x, one[0]), 0)
            * max(min(y + height, one[3]) - max(y, one[1]), 0)
            for one in taken
        ]
        return sum(shared)

    limits = max(photo[0] - width, 0), max(photo[1] - height, 0)
    fitting = [(x, y) for x, y in places if 0 <= x <= limits[0] and 0 <= y <= limits[1]]
    best = min(fitting, key=covered, default=None)
    if best is None or covered(best):  # as near as there is room
        across = range(left - 2 * width, right + width, max(width // 2, 1))
        down = range(top - 2 * height, bottom + height, max(height // 2, 1))
        near = [
            (min(max(x, 0), limits[0]), min(max(y, 0), limits[1])) for y in down for x in across
        ]
        best = min([*fitting, *near], key=covered)
    return best
