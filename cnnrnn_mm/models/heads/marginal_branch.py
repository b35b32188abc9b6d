# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One sigmoid a label beside the decoder.

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
    image for every label. Some decoders also read its logits; else it serves training only.

    Args:
        num_classes: C.
        in_channels: F.
        loss_weight: Factor of the loss.
        hidden_dims: Size of a hidden layer with ReLU; 0 for a linear classifier.
        dropout: Probability for the input and the hidden layer, in [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss_weight: float = 1.0,
        hidden_dims: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss_weight = loss_weight
        layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        if hidden_dims:
            layers += [nn.Linear(in_channels, hidden_dims), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.hidden = nn.Sequential(*layers)
        self.classifier = nn.Linear(hidden_dims or in_channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits: (N, F) -> (N, C)."""
        return self.classifier(self.hidden(features))

    def loss(
        self,
        logits: Tensor,
        labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The sum over labels, averaged over images, as the sequence loss is.

        Args:
            logits: (N, C) from :meth:`forward`.
            labels: N int64 tensors (n_i,) of class ids.
            ignored: Likewise, ids that count neither as true nor as false; None for none.

        Returns:
            A scalar.
        """
        scores = logits.float()
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
