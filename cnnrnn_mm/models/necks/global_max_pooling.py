# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The strongest response of each channel."""

from mmengine.model import BaseModule
from torch import Tensor

from ...registry import MODELS

__all__ = ['GlobalMaxPooling']


@MODELS.register_module()
class GlobalMaxPooling(BaseModule):
    """Reduce each map to the maximum over its positions.

    The host has the average and the generalised mean. The maximum suits small objects: the
    gradient of a channel goes to the one position that speaks for it.
    """

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps (N, C, H, W) -> vectors (N, C), for each stage."""
        feats = feats if isinstance(feats, (tuple, list)) else (feats,)
        return tuple(maps.amax((2, 3)) for maps in feats)
