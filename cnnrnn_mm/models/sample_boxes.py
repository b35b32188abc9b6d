# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a data sample says of boxes, in the coordinates of the model.

Axis letters: n boxes.
"""

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ..errors import UsageError

__all__ = ['boxes_of']

#: By how much, as a share, a box may leave the image by rounding.
ROUNDING = 1e-4
REMEDIES = {
    'gt_bboxes': (
        "set boxes=True in the dataset and algorithm_keys=('gt_bboxes', 'gt_bboxes_labels') in "
        'PackInputs'
    ),
    'proposals': (
        "add dict(type='cnnrnn_mm.LoadProposals', file=...) behind LoadImage and "
        "algorithm_keys=('proposals',) to PackInputs"
    ),
}


def boxes_of(sample: DataSample, key: str) -> Tensor:
    """Boxes as shares of the image's width and height.

    Args:
        sample: With the boxes (n, 4) under ``key``, an array or a tensor: pixels x1 y1 x2 y2 of the
            network's input, 0-based, the right and the bottom edge exclusive. Its ``img_shape``
            holds height and width of that input, which the data preprocessor must not pad
            (``pad_size_divisor``).
        key: ``'gt_bboxes'`` or ``'proposals'``.

    Returns:
        (n, 4) float32 in [0, 1], on the device of the sample's boxes.

    Raises:
        UsageError: If boxes or ``img_shape`` are missing, or a box has no area or leaves the image.
    """
    path = sample.get('img_path', '?')
    if key not in sample:
        remedy = REMEDIES.get(key, f"add '{key}' to algorithm_keys of PackInputs")
        raise UsageError(f'the data sample of image {path} has no {key}: {remedy}')
    if sample.get('img_shape') is None:
        raise UsageError(
            f"the data sample of image {path} has {key}, but no img_shape: add 'img_shape' to "
            'meta_keys of PackInputs'
        )
    height, width = sample.img_shape[:2]
    boxes = torch.as_tensor(sample.get(key), dtype=torch.float32)
    if boxes.dim() != 2 or boxes.size(1) != 4:
        if boxes.numel():
            raise UsageError(
                f'{key} of image {path} have shape {tuple(boxes.shape)}: give (n, 4), as x1, y1, '
                'x2, y2 in pixels'
            )
        return boxes.new_zeros(0, 4)
    shares = boxes / boxes.new_tensor([width, height, width, height])
    # NaN fails every comparison.
    inside = ((shares >= -ROUNDING) & (shares <= 1 + ROUNDING)).all(1)
    shares = shares.clamp(0, 1)
    usable = inside & (shares[:, :2] < shares[:, 2:]).all(1)
    if not usable.all():
        row = int((~usable).to(torch.uint8).argmax())
        edges = ', '.join(f'{edge:g}' for edge in boxes[row].tolist())
        what = 'has no area' if inside[row] else f'leaves the image of {width} x {height}'
        raise UsageError(
            f'box {row} of {key} of image {path} ({edges}) {what}: correct it, and put transforms '
            "that move pixels into dict(type='cnnrnn_mm.WithBoxes', transforms=[...])"
        )
    return shares
