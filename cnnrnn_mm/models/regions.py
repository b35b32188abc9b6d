# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a localisation neck hands to a head.

Named tuples, because torch.jit's tracing, on which MMPretrain's get_flops.py rests, takes nothing
else for several tensors.

Axis letters: N images, B regions, F region feature size, A anchors.
"""

from typing import NamedTuple

from torch import Tensor

__all__ = ['Proposals', 'Regions']


class Proposals(NamedTuple):
    """What a proposal network said of its anchors, for its loss.

    Boxes are x1, y1, x2, y2 as shares of the image's width and height, so they do not depend on the
    input size; IoU and box coding do not change under such a scaling of the axes.

    Attributes:
        objectness: Logits (N, A).
        deltas: (N, A, 4), box coding as torchvision's, relative to the anchors.
        anchors: (A, 4).
    """

    objectness: Tensor
    deltas: Tensor
    anchors: Tensor


class Regions(NamedTuple):
    """The regions of the images of a batch, with their features.

    Region 0 is the whole image. Images with fewer regions than others are padded behind.

    Attributes:
        features: (N, B, F); 0 where not valid.
        boxes: (N, B, 4), x1, y1, x2, y2 as shares of the image's width and height; the whole image
            where not valid.
        valid: (N, B) bool; always True for region 0.
        log_gates: (N, B), <= 0: log of the probability that there is something to be seen; 0 for
            the whole image, and everywhere where the regions come from no proposal network.
        proposals: What the proposal network said; None without one.
    """

    features: Tensor
    boxes: Tensor
    valid: Tensor
    log_gates: Tensor
    proposals: Proposals | None = None
