# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One softmax over all labels of an image.

Axis letters: N images, C labels.
"""

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS

__all__ = ['MultiLabelSoftmaxLoss']


@MODELS.register_module()
class MultiLabelSoftmaxLoss(nn.Module):
    """Cross-entropy between the softmax over labels and a target of 1/n for each of n true labels.

    Gong et al., "Deep Convolutional Ranking for Multilabel Image Annotation", ICLR 2014, section
    3.2. It is the "softmax" baseline of the CNN-RNN paper's tables.

    The gradient of an image's scores is the softmax minus the target. An image without labels has
    no target distribution: it adds nothing to the sum, has no gradient, and is one of the N images
    that the sum is divided by, as the host's losses count it. A softmax can't say "none of them".

    It takes the place of the host's loss in a multi-label head::

        head = dict(
            type='cnnrnn_mm.LinearLabelHead',
            score='softmax',
            topk=3,
            loss=dict(type='MultiLabelSoftmaxLoss'),
            num_classes=260,
            in_channels=1280,
        )

    Args:
        loss_weight: Factor of the whole loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, cls_score: Tensor, target: Tensor, avg_factor: float | None = None) -> Tensor:
        """The loss of a batch: a scalar.

        Args:
            cls_score: (N, C), not normalised.
            target: (N, C), above 0 for the true labels. Shares that are not equal, as those of
                mixed images, stay in proportion.
            avg_factor: What the sum over images is divided by; None for N.

        Raises:
            UsageError: If a target is negative.
        """
        shares = target.to(torch.promote_types(cls_score.dtype, torch.float32))
        if bool((shares < 0).any()):
            raise UsageError(
                f'a target is {shares.min().item():g}: MultiLabelSoftmaxLoss takes targets from 0 '
                'on, so leave out labels that are to be ignored'
            )
        totals = shares.sum(1, keepdim=True)  # (N, 1)
        shares = shares / totals.masked_fill(totals == 0, 1.0)
        losses = -(shares * cls_score.to(shares.dtype).log_softmax(1)).sum(1)  # (N,)
        return self.loss_weight * losses.sum() / (len(losses) if avg_factor is None else avg_factor)
