# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The boxes of a split's objects, as readers find them."""

from collections.abc import Sequence

import numpy as np
from mmengine.logging import MMLogger

from ..boxes import SLIVER, ObjectBoxes, as_boxes, clip_boxes, have_area

__all__ = ['BoxColumn']

Edges = tuple[float, float, float, float]


class BoxColumn:
    """Collect the boxes image by image, clipped to the image, and say once what was changed.

    Attributes:
        rows: One :class:`ObjectBoxes` an image, in the order of :meth:`add`.
    """

    def __init__(self) -> None:
        self.rows: list[ObjectBoxes] = []
        self._clipped: list[str] = []
        self._lacking: list[str] = []

    def add(
        self,
        objects: Sequence[tuple[int, Edges | None]],
        size: tuple[float, float] | None,
        name: str,
    ) -> None:
        """Add an image.

        Args:
            objects: Class id and box in pixels of each object, x1 y1 x2 y2, 0-based, right and
                bottom edge exclusive; None for one without a box, which is left out, and so is one
                without area in the image.
            size: Width and height; None where they are not known, and boxes are clipped at 0 only.
            name: Of the image, for messages.
        """
        given = as_boxes([edges for _, edges in objects if edges is not None])
        labels = np.array([label for label, edges in objects if edges is not None], dtype=np.int64)
        boxes = clip_boxes(given, *((np.inf, np.inf) if size is None else size))
        kept = have_area(boxes)
        moved = kept & (np.abs(boxes - given) > SLIVER).any(1)
        self._clipped += [name] * int(moved.sum())
        self._lacking += [name] * (len(objects) - int(kept.sum()))
        self.rows.append(ObjectBoxes(boxes[kept], labels[kept]))

    def report(self, source: str) -> None:
        """Warn of what was clipped or left out, each kind once.

        Args:
            source: What was read.
        """
        # Formatted here: the host's logger drops a warning whose format string it has seen before.
        logger = MMLogger.get_current_instance()
        if self._clipped:
            logger.warning(
                f'{source}: {len(self._clipped)} boxes leave their image and are clipped to it: '
                f'first in {self._clipped[0]}'
            )
        if self._lacking:
            logger.warning(
                f'{source}: {len(self._lacking)} objects have no box, or one without area, and '
                f'are in no gt_bboxes: first in {self._lacking[0]}'
            )
