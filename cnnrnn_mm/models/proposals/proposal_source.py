# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What every source of region proposals has in common.

Axis letters: N images, F channels, B' proposals of the image that has most.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...errors import UsageError
from ..regions import Proposals

__all__ = ['ProposalSource']


class ProposalSource(BaseModule):
    """Where the boxes of the regions come from.

    Boxes are x1, y1, x2, y2 as shares of the image's width and height. The whole image is no
    proposal: the neck adds it.

    Args:
        in_channels: F. The neck fills it in.
        num_proposals: Most proposals of an image. The neck fills it in.
        init_cfg: The host's initialisation config.

    Raises:
        UsageError: If the number of proposals is negative.
    """

    def __init__(self, in_channels: int, num_proposals: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_proposals < 0:
            raise UsageError(
                f'{num_proposals} proposals are asked for: set num_regions to 0 or more; '
                '0 leaves the whole image alone'
            )
        self.in_channels = in_channels
        self.num_proposals = num_proposals

    @abstractmethod
    def forward(
        self, maps: Tensor, data_samples: Sequence[DataSample] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Proposals | None]:
        """The proposals of the images, best first.

        Args:
            maps: (N, F, h, w).
            data_samples: Of the N images; only external proposals need them.

        Returns:
            Boxes (N, B', 4); which of them are valid, (N, B') bool; log of the probability that
            there is something to be seen, (N, B'); and what a proposal network said of its anchors,
            or None. What stands behind an image's last proposal is 0 and means nothing.
        """

    @staticmethod
    def pad(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """N tensors (n_i, ...) -> (N, B', ...) with 0 behind, and what is valid, (N, B') bool."""
        padded = pad_sequence(list(values), batch_first=True)
        counts = torch.tensor([len(one) for one in values], device=padded.device)
        places = torch.arange(padded.shape[1], device=padded.device)
        return padded, places < counts.unsqueeze(1)
