# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which true labels of an image are given away. Axis letters: N images, C labels."""

import torch
from torch import Tensor

__all__ = ['SETTINGS', 'draw_keys', 'reveal']

#: How many labels are known: a number, or half of them, rounded down.
SETTINGS = ('0', '1', '2', 'half')


def draw_keys(num_images: int, num_classes: int, seed: int) -> Tensor:
    """Ranks by which the labels of each image are revealed, the lowest first.

    They depend on nothing but the arguments, so all models are given the same labels.

    Returns:
        (N, C) float64.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((num_images, num_classes), generator=generator, dtype=torch.float64)


def reveal(target: Tensor, keys: Tensor, setting: str) -> tuple[Tensor, Tensor]:
    """The known labels of a setting.

    Those of a smaller number are among those of a larger one.

    Args:
        target: True labels (N, C) bool.
        keys: (N, C) from :func:`draw_keys`.
        setting: One of ``SETTINGS``.

    Returns:
        The known labels (N, C) bool, and which images count (N,) bool: those with more labels than
        known ones, and, for half of them, with at least one known.
    """
    sizes = target.sum(1)
    counts = sizes // 2 if setting == 'half' else torch.full_like(sizes, int(setting))
    counted = (sizes > counts) & ((counts > 0) | (setting == '0'))
    places = keys.masked_fill(~target, torch.inf).argsort(1).argsort(1)  # among the true ones
    return target & (places < counts.unsqueeze(1)) & counted.unsqueeze(1), counted
