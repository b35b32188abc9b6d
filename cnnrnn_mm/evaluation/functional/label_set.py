# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from what heads give: label lists, paths and scores.

Axis letters: N images, C classes (END and START are no classes), k labels at the head of a ranking.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cnnrnn_mm.errors import UsageError

__all__ = ['count_repeats', 'labels_to_sets', 'repeats_label', 'topk_labels']


def labels_to_sets(
    labels: Sequence[Sequence[int] | np.ndarray | Tensor], num_classes: int
) -> Tensor:
    """Turn N sequences of class ids into a boolean matrix; order and repeats do not matter.

    Args:
        labels: N sequences of class ids in [0, C), each possibly empty.
        num_classes: C.

    Returns:
        BoolTensor of shape (N, C).

    Raises:
        UsageError: If an id lies outside [0, C), as END's would.
    """
    sets = torch.zeros(len(labels), num_classes, dtype=torch.bool)
    for row, ids in zip(sets, labels, strict=True):
        ids = torch.as_tensor(ids, dtype=torch.long).cpu().flatten()
        outside = ids[(ids < 0) | (ids >= num_classes)]
        if outside.numel():
            raise UsageError(
                f'label {outside[0].item()} is not in [0, {num_classes}): give ids of classes '
                'only (END, START and padding are none), or the right num_classes'
            )
        row[ids] = True
    return sets


def topk_labels(scores: Tensor, k: int) -> Tensor:
    """Ids of the k best classes; among equal scores the lower id comes first, on every device.

    Args:
        scores: Float tensor of shape (..., C).
        k: Number of labels, 1 to C.

    Returns:
        LongTensor of shape (..., k), best first.

    Raises:
        UsageError: If k is not in [1, C].
    """
    if not 1 <= k <= scores.shape[-1]:
        raise UsageError(
            f'topk is {k}, but the scores have {scores.shape[-1]} classes: use 1 to that'
        )
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def count_repeats(path: Sequence[int] | Tensor) -> int:
    """How many labels of a path of class ids stand earlier in the same path, too."""
    ids = torch.as_tensor(path, dtype=torch.long).flatten()
    return ids.numel() - ids.unique().numel()


def repeats_label(path: Sequence[int] | Tensor) -> bool:
    """Whether a path of class ids holds some label more than once."""
    return count_repeats(path) > 0
