# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""An independent head that is told some labels. Axis letters: N images, C labels."""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional

from cnnrnn_mm.evaluation.functional import labels_to_sets
from cnnrnn_mm.models import LinearLabelHead
from cnnrnn_mm.registry import MODELS

__all__ = ['ConditionalLabelHead']


@MODELS.register_module()
class ConditionalLabelHead(LinearLabelHead):
    """``LinearLabelHead`` with the known labels, 1 or 0 each, as a second input.

    In training, of an image with n labels a number of 0 to n, and which ones, are drawn anew each
    time; the loss is binary cross-entropy of the others.

    Args:
        num_classes: C.
        in_channels: Channels that backbone and neck give.
        **kwargs: Passed on; ``loss`` has no effect.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs) -> None:
        super().__init__(num_classes, in_channels + num_classes, **kwargs)
        self.in_channels = in_channels

    def forward(self, feats: tuple[Tensor, ...], known: Tensor | None = None) -> Tensor:
        """Logits (N, C); ``known`` (N, C) bool are the labels that are given, None for none."""
        return self.fc(self.pre_logits(feats, known))

    def pre_logits(self, feats: tuple[Tensor, ...], known: Tensor | None = None) -> Tensor:
        """What the classifier reads."""
        feature = feats[-1]
        if feature.dim() == 4:
            feature = feature.mean((2, 3))
        if known is None:
            known = torch.zeros(len(feature), self.num_classes, dtype=torch.bool)
        # No dropout on what is given: half of it would be lost.
        given = known.to(feature)
        return self.hide(torch.cat([self.dropout(feature), given], 1))

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], **_) -> dict:
        """The loss of a batch: the sum over the labels that are not given, averaged over images."""
        labels = [sample.gt_label for sample in data_samples]
        target = labels_to_sets(labels, self.num_classes).to(feats[-1].device)
        known = draw_subset(target)
        losses = functional.binary_cross_entropy_with_logits(
            self(feats, known), target.float(), reduction='none'
        )
        return dict(loss=losses.masked_fill(known, 0.0).sum() / len(labels))


def draw_subset(target: Tensor) -> Tensor:
    """Some true labels of each image, (N, C) bool, drawn by torch's global generator."""
    sizes = target.sum(1, keepdim=True)
    counts = (torch.rand(sizes.shape, device=target.device) * (sizes + 1)).floor()
    keys = torch.rand(target.shape, device=target.device).masked_fill(~target, torch.inf)
    return target & (keys.argsort(1).argsort(1) < counts)
