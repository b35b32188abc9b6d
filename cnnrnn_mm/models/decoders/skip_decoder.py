# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The paper's decoder with a skip connection from the marginal branch.

Axis letters: N images, M paths, C labels, V = C + 1 (labels and END), D embedding size, F image
feature size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ...registry import MODELS
from .label_decoder import LabelDecoder

__all__ = ['SkipDecoder']


@MODELS.register_module()
class SkipDecoder(LabelDecoder):
    """``LabelDecoder`` that is told how likely each label is by itself.

    The logits of the marginal branch, times a learned factor, are added to the scores of the labels
    at every step, so decoder and recurrent layer only learn what labels say about each other. END
    has no such logit.

    Args:
        *args: As those of :class:`LabelDecoder`.
        detach: Whether the sequence loss stops before the marginal branch, which then learns from
            its own loss alone.
        **kwargs: Likewise.
    """

    takes_marginals = True

    def __init__(self, *args: Any, detach: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.detach = detach
        self.skip_scale = nn.Parameter(torch.ones(()))

    def project_image(self, features: Tensor, marginal_logits: Tensor | None = None) -> Tensor:
        """U_I I and the share of the marginal branch: (N, D + C)."""
        logits = self._check_marginals(marginal_logits)
        logits = logits.detach() if self.detach else logits
        return torch.cat([super().project_image(features), self.skip_scale * logits], -1)

    def score(self, paths: Tensor, image: Tensor, tokens: Tensor) -> Tensor:
        """Equations (4) and (5) and the share of the marginal branch: (M, V)."""
        joint, skip = image.split([paths.shape[-1], self.vocabulary.num_classes], -1)
        return super().score(paths, joint, tokens) + pad(skip, (0, 1))
