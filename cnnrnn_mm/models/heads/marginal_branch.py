# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One sigmoid a label beside the decoder, for training only.

Axis letters: N images, C labels, F image feature size.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

__all__ = ['MarginalBranch']


class MarginalBranch(BaseModule):
    """Binary cross-entropy of each label, straight from the image feature.

    Under teacher forcing the labels before a label often give it away, and the image is then asked
    for nothing: features trained by the sequence loss alone learn slowly. This branch asks the
    image for every label. It takes no part in prediction.

    Args:
        num_classes: C.
        in_channels: F.
        loss_weight: Factor of the loss.
    """

    def __init__(self, num_classes: int, in_channels: int, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss_weight = loss_weight
        self.classifier = nn.Linear(in_channels, num_classes)

    def loss(
        self,
        features: Tensor,
        labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The sum over labels, averaged over images, as the sequence loss is.

        Args:
            features: (N, F).
            labels: N int64 tensors (n_i,) of class ids.
            ignored: Likewise, ids that count neither as true nor as false; None for none.

        Returns:
            A scalar.
        """
        scores = self.classifier(features).float()  # (N, C)
        losses = functional.binary_cross_entropy_with_logits(
            scores, self._mark(labels, scores), reduction='none'
        )
        if ignored is not None:
            losses = losses * (1 - self._mark(ignored, scores))
        return self.loss_weight * losses.sum() / len(labels)

    @staticmethod
    def _mark(ids: Sequence[Tensor], like: Tensor) -> Tensor:
        """1 at the class ids of each image, 0 elsewhere, (N, C)."""
        lengths = torch.tensor([len(one) for one in ids], device=like.device)
        rows = torch.arange(len(ids), device=like.device).repeat_interleave(lengths)
        marks = torch.zeros_like(like)
        marks[rows, torch.cat(list(ids))] = 1.0
        return marks
