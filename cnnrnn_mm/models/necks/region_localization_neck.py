# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a map to regions and their features.

Axis letters: N images, F channels of the map, F' region feature size, B regions of the image that
has most, s bins along a side of a region, M regions that are valid.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ..regions import Regions

__all__ = ['RegionLocalizationNeck', 'sample_regions']


@MODELS.register_module()
class RegionLocalizationNeck(BaseModule):
    """Proposals, bilinear sampling of each region, and a feature of what was sampled.

    The fully convolutional localisation layer that Zhang et al., "Multi-Label Image Classification
    with Regional Latent Semantic Dependencies", IEEE TMM 2018, take over from Johnson et al.,
    "DenseCap", CVPR 2016, section 3.2. Region 0 is always the whole image.

    Args:
        in_channels: F.
        proposals: Config of a :class:`~cnnrnn_mm.models.proposals.ProposalSource`, without
            ``in_channels`` and ``num_proposals``, which are filled in here.
        num_regions: Most regions of an image beside the whole image.
        sample_size: s.
        region_neck: Config of the neck that makes a vector of a region's (F, s, s); None for the
            host's ``GlobalAveragePooling``.
        init_cfg: The host's initialisation config.

    Raises:
        UsageError: If an option is out of range.
    """

    #: What it gives is no feature to be kept: on cached features it runs on the backbone's maps.
    runs_on_features = True

    def __init__(
        self,
        in_channels: int,
        proposals: dict,
        num_regions: int = 50,
        sample_size: int = 7,
        region_neck: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if sample_size < 1:
            raise UsageError(f'sample_size is {sample_size}: set it to 1 or more')
        self.in_channels = in_channels
        self.sample_size = sample_size
        # Bare names are looked up here whatever the run's scope.
        filled = dict(in_channels=in_channels, num_proposals=num_regions)
        self.proposals = MODELS.build({'_scope_': SCOPE, **proposals, **filled})
        region_neck = dict(type='GlobalAveragePooling') if region_neck is None else region_neck
        self.region_neck = MODELS.build({'_scope_': SCOPE, **region_neck})

    def forward(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample] | None = None
    ) -> tuple[Regions]:
        """The regions on the last stage's map.

        Args:
            feats: Maps (N, F, h, w) of the stages.
            data_samples: Of the N images; only external proposals need them.

        Returns:
            A tuple of one :class:`Regions`, as the host's necks return a tuple of stages.

        Raises:
            UsageError: If the last stage is no map of F channels, or the region neck gives no
                vector.
        """
        maps = self._check(feats[-1] if isinstance(feats, (tuple, list)) else feats)
        boxes, valid, log_gates, proposals = self.proposals(maps, data_samples)
        whole = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
        # The whole image goes in front, and stands for what is not valid.
        boxes = functional.pad(boxes, (0, 0, 1, 0))
        valid = functional.pad(valid, (1, 0), value=True)
        boxes = torch.where(functional.pad(valid[:, 1:], (1, 0)).unsqueeze(2), boxes, whole)
        log_gates = functional.pad(log_gates, (1, 0))
        features = self._describe(maps, boxes, valid)
        return (Regions(features, boxes, valid, log_gates, proposals),)

    def _describe(self, maps: Tensor, boxes: Tensor, valid: Tensor) -> Tensor:
        """The features (N, B, F') of the regions."""
        sampled = sample_regions(maps, boxes, self.sample_size)[valid]  # (M, F, s, s)
        vectors = self.region_neck((sampled,))
        vectors = vectors[-1] if isinstance(vectors, (tuple, list)) else vectors
        if vectors.dim() != 2:
            raise UsageError(
                f'region_neck {type(self.region_neck).__name__} makes {tuple(vectors.shape[1:])} '
                'of a region, not a vector: set one that pools, such as GlobalAveragePooling'
            )
        features = vectors.new_zeros(*valid.shape, vectors.shape[1])
        return features.masked_scatter(valid.unsqueeze(2), vectors)

    def _check(self, maps: object) -> Tensor:
        if not isinstance(maps, Tensor) or maps.dim() != 4:
            given = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise UsageError(
                f'RegionLocalizationNeck needs a map (N, F, h, w), but gets {given}: remove the '
                'neck that pools before it, such as GlobalAveragePooling, and let the backbone '
                "give a map (out_type='featmap' for the host's transformers)"
            )
        if maps.shape[1] != self.in_channels:
            raise UsageError(
                f'in_channels of RegionLocalizationNeck is {self.in_channels}, but the map has '
                f'{maps.shape[1]} channels: set in_channels={maps.shape[1]}'
            )
        return maps


def sample_regions(maps: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Bilinear interpolation of the maps at the bin centres of the boxes, one sample a bin.

    Boxes in shares lie on the extent of the map, not on the centres of its outermost cells, thus
    the whole image sampled as finely as the map is the map itself. Behind the outermost centres the
    map goes on with their values.

    ``grid_sample`` and not ``torchvision.ops.roi_align``, which has no gradient with respect to the
    boxes. It takes one grid for each image, so the regions of an image lie below one another in it
    and no map is repeated.

    Args:
        maps: (N, F, h, w).
        boxes: (N, B, 4), x1, y1, x2, y2 as shares of width and height.
        size: Bins along a side.

    Returns:
        (N, B, F, size, size), a view that is not contiguous; differentiable in maps and boxes.
    """
    # At least the precision of the boxes: half has a thousandth of the image.
    dtype = torch.promote_types(maps.dtype, boxes.dtype)
    boxes = boxes.to(dtype)
    centres = (torch.arange(size, device=maps.device) + 0.5).to(dtype) / size
    spans = boxes[..., 2:] - boxes[..., :2]  # (N, B, 2)
    points = boxes[..., :2].unsqueeze(3) + spans.unsqueeze(3) * centres  # (N, B, 2, s)
    x, y = (2 * points - 1).unbind(2)  # (N, B, s)
    shape = (*x.shape, size)  # (N, B, s, s), rows before columns
    grid = torch.stack([x.unsqueeze(2).expand(shape), y.unsqueeze(3).expand(shape)], -1)
    sampled = functional.grid_sample(
        maps.to(dtype), grid.flatten(1, 2), padding_mode='border', align_corners=False
    )  # (N, F, B s, s)
    return sampled.unflatten(2, (boxes.shape[1], size)).transpose(1, 2)
