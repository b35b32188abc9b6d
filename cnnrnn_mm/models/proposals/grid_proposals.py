# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fixed windows as region proposals.

Axis letters: N images, B' windows.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..regions import Proposals
from .proposal_source import ProposalSource

__all__ = ['GridProposals']


@MODELS.register_module()
class GridProposals(ProposalSource):
    """The same windows for every image; nothing is learned.

    Level n is n x n windows whose sides are 2 / (n + 1) of the image's, 1 / (n + 1) apart: each
    overlaps the next one by half, and together they cover the image. Levels (2, 3) are 4 windows of
    2/3 and 9 of 1/2. Windows come level by level, row by row; where fewer regions are asked for
    than there are windows, the last ones are left out.

    Args:
        in_channels: Not used; every source has it.
        num_proposals: Most windows.
        levels: Windows along a side, 2 or more for each level.
        init_cfg: The host's initialisation config.

    Raises:
        UsageError: If a level is below 2.
    """

    def __init__(
        self,
        in_channels: int,
        num_proposals: int,
        levels: Sequence[int] = (2, 3),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, num_proposals, init_cfg)
        for level in levels:
            if level < 2:
                raise UsageError(
                    f'levels has {level}: set each level to 2 or more; the whole image is always '
                    'a region'
                )
        windows = [window for level in levels for window in level_windows(level)]
        windows = torch.tensor(windows, dtype=torch.float32).reshape(-1, 4)[:num_proposals]
        self.register_buffer('windows', windows, persistent=False)

    def forward(
        self, maps: Tensor, data_samples: Sequence[DataSample] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Proposals | None]:
        """See :meth:`ProposalSource.forward`. All windows are valid, and log gates are 0."""
        boxes = self.windows.expand(len(maps), -1, -1)  # (N, B', 4)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        return boxes, valid, boxes.new_zeros(boxes.shape[:2]), None


def level_windows(level: int) -> list[tuple[float, float, float, float]]:
    """The windows of one level, row by row."""
    step = 1 / (level + 1)
    return [
        (column * step, row * step, (column + 2) * step, (row + 2) * step)
        for row in range(level)
        for column in range(level)
    ]
