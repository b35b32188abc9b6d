# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""See that a pipeline moves boxes wherever it moves pixels."""

from collections.abc import Callable, Iterable, Iterator

from mmcv.transforms import CenterCrop

from ...errors import UsageError
from .load_proposals import LoadProposals
from .with_boxes import MOVES_GT_BBOXES, WithBoxes

__all__ = ['check_boxes_move', 'has_proposals']

#: They leave each pixel where it is.
STILL = (
    *('LoadImage', 'LoadImageFromFile', 'LoadProposals', 'Normalize', 'RandomErasing', 'Cutout'),
    *('ColorJitter', 'ColorTransform', 'Lighting', 'Brightness', 'Contrast', 'Sharpness', 'Invert'),
    *('AutoContrast', 'Equalize', 'Posterize', 'Solarize', 'SolarizeAdd', 'GaussianBlur'),
    *('RandomGrayscale', 'NumpyToPIL', 'PILToNumpy'),
    *('OrderLabels', 'PackInputs', 'PackMultiTaskInputs'),
)
#: mmcv's, they move ``gt_bboxes`` and leave no box without area, as CenterCrop may.
MOVE_OBJECTS = tuple(kind for kind in MOVES_GT_BBOXES if kind is not CenterCrop)


def has_proposals(transforms: Iterable[Callable]) -> bool:
    """Whether a pipeline adds region proposals."""
    return any(isinstance(one, LoadProposals) for one in transforms)


def check_boxes_move(transforms: Iterable[Callable], objects: bool, name: str) -> None:
    """Raise ``UsageError`` for a transform that may move pixels away from under the boxes.

    Args:
        transforms: Of a pipeline, built. One of another package that moves no pixels says so with
            the class attribute ``keeps_boxes = True``.
        objects: Whether the annotations have ``gt_bboxes``; ``proposals`` are seen in the pipeline.
        name: What the pipeline belongs to, for messages.
    """
    transforms = list(transforms)
    proposed = has_proposals(transforms)
    if not objects and not proposed:
        return
    keys = ' and '.join(['gt_bboxes'] * objects + ['proposals'] * proposed)
    for one in _alone(transforms):
        kind = type(one).__name__
        moves = not proposed and isinstance(one, MOVE_OBJECTS)
        if not moves and kind not in STILL and not getattr(one, 'keeps_boxes', False):
            raise UsageError(
                f'{kind} in the pipeline of {name} may move pixels, and leaves {keys} where they '
                "are or without area: put it into dict(type='cnnrnn_mm.WithBoxes', "
                'transforms=[...])'
            )


def _alone(transforms: Iterable[Callable]) -> Iterator[Callable]:
    """The innermost transforms that no WithBoxes holds."""
    for one in transforms:
        inner = getattr(one, 'transforms', None)
        if inner is None:
            yield one
        elif not isinstance(one, WithBoxes):
            yield from _alone(inner if isinstance(inner, (list, tuple)) else [inner])
