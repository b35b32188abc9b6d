# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The first two fully connected layers of VGG, as a neck."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS

__all__ = ['VGGFullyConnected']


@MODELS.register_module()
class VGGFullyConnected(BaseModule):
    """fc6 and fc7 of VGG: a (512, 7, 7) map becomes the 4096-d feature that CNN-RNN uses.

    The host's ``VGG(num_classes > 0)`` returns the class scores behind fc8 and ``VGG()`` the last
    map, so the paper's feature needs this neck. Its layers are named as in the host's classifier
    (``classifier.0`` and ``classifier.3``), thus the host's ImageNet checkpoint loads with
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone')``; what is left over there
    (the convolutions and fc8) is not used.

    Args:
        in_channels: Channels of the map.
        map_size: Side of the map; 7 for images of 224 x 224.
        feature_dims: Size of fc6 and fc7.
        dropout: Probability behind each layer, while training.
        init_cfg: The host's initialisation config.
    """

    def __init__(
        self,
        in_channels: int = 512,
        map_size: int = 7,
        feature_dims: int = 4096,
        dropout: float = 0.5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.map_shape = (in_channels, map_size, map_size)
        self.classifier = nn.Sequential(
            nn.Linear(in_channels * map_size**2, feature_dims),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(feature_dims, feature_dims),
            nn.ReLU(True),
            nn.Dropout(dropout),
        )

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Last map (N, 512, 7, 7) -> a tuple of one feature (N, 4096)."""
        maps = feats[-1] if isinstance(feats, (tuple, list)) else feats
        if tuple(maps.shape[1:]) != self.map_shape:
            raise UsageError(
                f'VGGFullyConnected needs a map of shape {self.map_shape}, but the backbone gives '
                f'{tuple(maps.shape[1:])}: feed images of {32 * self.map_shape[1]} x '
                f'{32 * self.map_shape[1]} pixels; as a region_neck, set '
                f'sample_size={self.map_shape[1]}'
            )
        return (self.classifier(maps.flatten(1)),)
