# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels that a loss of the host's is not to see.

Axis letters: N images, C labels.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from .sample_labels import ignored_of, labels_of

__all__ = ['mask_ignored']

#: A logit that any loss takes for a label that is certainly absent: exp(-30) is 1e-13.
ABSENT = -30.0


def mask_ignored(logits: Tensor, data_samples: Sequence[DataSample]) -> Tensor:
    """Take the ignored labels out of a loss that knows none.

    The host's losses weigh whole images alone. A label whose logit says that it is absent, and
    whose target says the same, costs nothing, and a constant passes no gradient.

    Args:
        logits: (N, C).
        data_samples: N samples with ``gt_label`` and ``gt_label_difficult``.
    """
    masks = torch.zeros_like(logits, dtype=torch.bool)
    for mask, sample in zip(masks, data_samples, strict=True):
        mask[ignored_of(sample, labels_of(sample).to(logits.device))] = True
    return logits.masked_fill(masks, ABSENT)
