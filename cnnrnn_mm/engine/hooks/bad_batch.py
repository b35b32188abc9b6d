# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Name and keep a batch whose loss or gradients are not finite."""

import math
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank

from .atomic_saves import put_in_place, temporary

__all__ = ['describe_batch', 'describe_losses', 'image_paths', 'save_batch']

MOST_PATHS = 8
#: Entries of the host's logged losses that are sums or no losses.
SUM = 'loss'


def image_paths(data_batch: Any) -> list[str]:
    """The images of a batch as it comes from the dataloader; empty if it holds no samples."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    return [str(sample.get('img_path', '?')) for sample in samples or ()]


def describe_batch(data_batch: Any) -> str:
    """Number and paths of the images, the first few."""
    paths = image_paths(data_batch)
    if not paths:
        return 'a batch without data_samples'
    more = ', ...' if len(paths) > MOST_PATHS else ''
    return f'its batch of {len(paths)} images is {", ".join(paths[:MOST_PATHS])}{more}'


def describe_losses(losses: dict[str, float]) -> str:
    """Which loss is not finite, and what the others are."""
    bad = [f'{name} is {value}' for name, value in losses.items() if not math.isfinite(value)]
    good = [f'{name} is {value:.4g}' for name, value in losses.items() if math.isfinite(value)]
    if not bad:
        return f'the gradients are not finite ({", ".join(good)})'
    return ', '.join(bad) + (f' ({", ".join(good)})' if good else '')


def save_batch(folder: Path, runner: Any, data_batch: Any, losses: dict[str, float]) -> Path:
    """Write a batch as tensors and plain types.

    The keys are epoch, iter, losses, img_paths, gt_labels (class ids of each image, in the order of
    training) and inputs (the pixels before normalisation, N C H W or a list of C H W).

    Args:
        folder: Made if it is not there.
        runner: Gives epoch and iteration.
        data_batch: As it comes from the dataloader.
        losses: Value of each.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'epoch_{runner.epoch + 1}_iter_{runner.iter + 1}_rank_{get_rank()}.pth'
    holds = data_batch if isinstance(data_batch, dict) else {}
    labels = [sample.get('gt_label') for sample in holds.get('data_samples') or ()]
    content = {
        'epoch': runner.epoch + 1,
        'iter': runner.iter + 1,
        'losses': losses,
        'img_paths': image_paths(data_batch),
        'gt_labels': [None if one is None else one.tolist() for one in labels],
        'inputs': _on_cpu(holds.get('inputs')),
    }
    part = temporary(path)
    torch.save(content, part)
    put_in_place(part, path)
    return path


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    return [_on_cpu(one) for one in value] if isinstance(value, (list, tuple)) else None
