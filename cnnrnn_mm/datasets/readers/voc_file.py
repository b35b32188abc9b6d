# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What label sets need of an annotation file of Pascal VOC.

The layout is that of the development kit's ``Annotations/*.xml``, described in
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html.
"""

import math
from typing import NamedTuple
from xml.etree import ElementTree

from ...errors import UsageError

__all__ = ['VocFile', 'VocObject', 'parse_voc_file']

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


class VocObject(NamedTuple):
    """An object.

    Attributes:
        name: Of its class.
        difficult: Whether it is marked as hard to recognise; False where nothing is said.
        box: xmin, ymin, xmax, ymax in pixels, the first pixel being 1 and the last one belonging
            to the object; None where it has no box.
    """

    name: str
    difficult: bool
    box: tuple[float, float, float, float] | None


class VocFile(NamedTuple):
    """An annotation file.

    Attributes:
        path: The file, for messages.
        size: Width and height of the image in pixels; None where they are missing or 0.
        objects: In the file's order.
    """

    path: str
    size: tuple[float, float] | None
    objects: list[VocObject]

    def share(self, number: int) -> float | None:
        """The share of the image, in (0, 1], that the box of an object covers.

        A box that reaches over the border is clipped. None where there is no box or no size.

        Raises:
            UsageError: If no pixel of the image is in the box.
        """
        box = self.objects[number].box
        if box is None:
            return None
        width, height = self.size if self.size is not None else (math.inf, math.inf)
        columns = min(box[2], width) - max(box[0], 1) + 1
        rows = min(box[3], height) - max(box[1], 1) + 1
        if columns <= 0 or rows <= 0:
            where = 'its image' if self.size is None else f'its image of {width:g} x {height:g}'
            raise UsageError(
                f'{self.path}: object {number} ({self.objects[number].name}) has the box '
                f'{", ".join(f"{edge:g}" for edge in box)}, which covers no pixel of {where}: '
                'correct or remove it'
            )
        return None if self.size is None else min(columns * rows / (width * height), 1.0)


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, the one place where XML defines entities that grow without limit."""

    def doctype(self, *_: object) -> None:
        raise ValueError('it has a document type, which no VOC file has')


def parse_voc_file(content: bytes, path: str) -> VocFile:
    """Read an annotation file.

    Args:
        content: Its bytes.
        path: Where they are from, for messages.

    Raises:
        UsageError: If this is no such file, or an object has no name or a box or mark that can't
            be read.
    """
    try:
        root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UsageError(
            f'{path} can not be read as XML ({error}): fetch or write it anew'
        ) from None
    if root.tag != 'annotation':
        raise UsageError(f'{path} is no VOC annotation: it has <{root.tag}>, not <annotation>')
    objects = [_object(one, path, number) for number, one in enumerate(root.findall('object'))]
    return VocFile(path, _size(root), objects)


def _size(root: ElementTree.Element) -> tuple[float, float] | None:
    try:
        width, height = (float(root.findtext(f'size/{side}', '0')) for side in ('width', 'height'))
    except ValueError:
        return None
    return (width, height) if 0 < width < math.inf and 0 < height < math.inf else None


def _object(element: ElementTree.Element, path: str, number: int) -> VocObject:
    name = (element.findtext('name') or '').strip()
    if not name:
        raise UsageError(f'{path}: object {number} has no name: name its class')
    mark = element.findtext('difficult', '0').strip()
    if mark not in ('0', '1'):
        raise UsageError(
            f'{path}: object {number} ({name}) has <difficult>{mark}</difficult>: write 0 or 1'
        )
    corners = element.find('bndbox')
    if corners is None:
        return VocObject(name, mark == '1', None)
    texts = [corners.findtext(corner, '') for corner in CORNERS]
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    box = (x1, y1, x2, y2)
    if not all(map(math.isfinite, box)):
        raise UsageError(
            f'{path}: object {number} ({name}) has the box {", ".join(texts)}: four numbers are '
            f'needed, {", ".join(CORNERS)}'
        )
    return VocObject(name, mark == '1', box)
