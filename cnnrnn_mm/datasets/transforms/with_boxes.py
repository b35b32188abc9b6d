# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Let boxes follow what the host's transforms do to an image.

Axis letters: n boxes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from mmcv.transforms import (
    BaseTransform,
    CenterCrop,
    Pad,
    RandomChoiceResize,
    RandomFlip,
    RandomResize,
    Resize,
)
from mmpretrain.datasets.transforms import RandomCrop, RandomResizedCrop, ResizeEdge

from ...errors import UsageError
from ...registry import TRANSFORMS
from ..boxes import BOX_KEYS, as_boxes, clip_boxes, have_area

__all__ = ['MOVES_GT_BBOXES', 'WithBoxes']

#: They move ``gt_bboxes`` (mmcv's Pad adds pixels on the right and below, which moves none).
MOVES_GT_BBOXES = (CenterCrop, Pad, RandomChoiceResize, RandomFlip, RandomResize, Resize)
MOVED_HERE = (RandomCrop, RandomResizedCrop, ResizeEdge)


@TRANSFORMS.register_module()
class WithBoxes(BaseTransform):
    """Run transforms of the host and move ``gt_bboxes`` and ``proposals`` with the image.

    The images are those that the transforms give without it, draw for draw. mmcv's transforms move
    ``gt_bboxes`` only, and the host's own ``RandomCrop``, ``RandomResizedCrop`` and ``ResizeEdge``
    no boxes at all::

        train_pipeline = [
            dict(type='cnnrnn_mm.LoadImage'),
            dict(type='cnnrnn_mm.WithBoxes', transforms=[
                dict(type='RandomResizedCrop', scale=448),
                dict(type='RandomFlip', prob=0.5),
            ]),
            dict(type='PackInputs', algorithm_keys=('gt_bboxes', 'gt_bboxes_labels')),
        ]

    Boxes are clipped to the image. Those of which nothing is left are taken out, with their entries
    of ``gt_bboxes_labels``. Without boxes it does what the transforms do.

    **Required Keys:**

    - img
    - gt_bboxes (optional, (n, 4) pixels)
    - gt_bboxes_labels (with gt_bboxes, (n,))
    - proposals (optional, (n, 4) pixels)

    **Modified Keys:**

    - gt_bboxes (float32), gt_bboxes_labels, proposals (float32)
    - those of the transforms

    Args:
        transforms: Configs of the transforms, or one: of mmcv ``Resize``, ``RandomResize``,
            ``RandomChoiceResize``, ``RandomFlip``, ``CenterCrop`` and ``Pad``; of the host
            ``RandomCrop``, ``RandomResizedCrop``, ``EfficientNetRandomCrop`` and ``ResizeEdge``.
            Those that change colours only have their place outside.

    Raises:
        UsageError: If a transform is none of these.
    """

    def __init__(self, transforms: Sequence[dict] | dict) -> None:
        configs = [transforms] if isinstance(transforms, dict) else transforms
        self.transforms = [TRANSFORMS.build(one) for one in configs]
        for one in self.transforms:
            if not isinstance(one, MOVES_GT_BBOXES + MOVED_HERE):
                known = ', '.join(kind.__name__ for kind in MOVES_GT_BBOXES + MOVED_HERE)
                raise UsageError(
                    f'WithBoxes can not follow {type(one).__name__}: put it outside if it leaves '
                    f'boxes where they are, else use one of {known}'
                )

    def transform(self, results: dict) -> dict | None:
        """Run the transforms one after another."""
        for one in self.transforms:
            keys = [key for key in BOX_KEYS if results.get(key) is not None]
            results = self._apply(one, results, keys) if keys else one(results)
            if results is None:
                return None
        return results

    def _apply(self, transform: BaseTransform, results: dict, keys: list[str]) -> dict | None:
        """Run one of the transforms on an image with boxes under some keys."""
        found = [as_boxes(results.pop(key)) for key in keys]
        boxes = np.concatenate(found)
        if isinstance(transform, MOVES_GT_BBOXES):
            results = transform({**results, 'gt_bboxes': boxes})
            boxes = None if results is None else results.pop('gt_bboxes')
        else:
            size = results['img'].shape[:2]
            with _recorded(transform) as drawn:
                results = transform(results)
            if results is not None:
                boxes = _moved(transform, boxes, size, results['img'].shape[:2], drawn)
        if results is None:
            return None
        height, width = results['img'].shape[:2]
        boxes = clip_boxes(as_boxes(boxes), width, height)
        ends = np.cumsum([len(one) for one in found])[:-1]
        for key, one in zip(keys, np.split(boxes, ends), strict=True):
            kept = have_area(one)
            results[key] = one[kept]
            for beside in BOX_KEYS[key]:
                if beside in results:
                    results[beside] = np.asarray(results[beside])[kept]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms})'


@contextmanager
def _recorded(transform: BaseTransform) -> Iterator[list]:
    """Write down what ``rand_crop_params`` was given and what it drew."""
    drawn: list[tuple[tuple[int, int], tuple[int, int, int, int]]] = []
    draw = getattr(transform, 'rand_crop_params', None)
    if draw is None:
        yield drawn
        return

    def record(img: np.ndarray) -> tuple[int, int, int, int]:
        drawn.append((img.shape[:2], draw(img)))
        return drawn[-1][1]

    transform.rand_crop_params = record
    try:
        yield drawn
    finally:
        del transform.rand_crop_params


def _moved(
    transform: BaseTransform,
    boxes: np.ndarray,
    before: tuple[int, int],
    after: tuple[int, int],
    drawn: list,
) -> np.ndarray:
    """Boxes (n, 4) behind a transform from an image of size ``before`` (H, W) to one of ``after``.

    ``drawn`` has what was recorded: the size of the image that was cropped, and the crop's top,
    left, height and width.
    """
    if isinstance(transform, ResizeEdge):
        left, top, crop = 0, 0, before
    else:
        ((padded, (top, left, *crop)),) = drawn
        if isinstance(transform, RandomCrop):
            pad_left, pad_top = _padding(transform, before, padded)
            left, top = left - pad_left, top - pad_top
        crop = [int(side) for side in crop]  # EfficientNetRandomCrop's may have fractions
    scale = np.array([after[1] / crop[1], after[0] / crop[0]] * 2)
    return (boxes - np.array([left, top] * 2)) * scale


def _padding(
    transform: RandomCrop, before: tuple[int, int], padded: tuple[int, int]
) -> tuple[int, int]:
    """How many pixels ``RandomCrop`` added on the left and above."""
    given = transform.padding
    fixed = [0] if given is None else [given] if isinstance(given, int) else list(given)
    left, top, right, below = fixed * (4 // len(fixed))
    # What is still missing then (pad_if_needed) is added on both sides alike.
    return (
        left + (padded[1] - before[1] - left - right) // 2,
        top + (padded[0] - before[0] - top - below) // 2,
    )
