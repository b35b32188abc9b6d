# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The dataset of a split as a run would see it."""

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.datasets import BaseDataset

from ..errors import UsageError
from ..registry import DATASETS
from .data_layout import check_data_layout

__all__ = ['build_split_dataset']

SPLITS = ('train', 'val', 'test')


def build_split_dataset(cfg: Config, split: str) -> BaseDataset:
    """Build the dataset of one of the config's dataloaders, with its own pipeline.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        UsageError: If the config lacks the split, or data is missing on disk.
    """
    there = [name for name in SPLITS if cfg.get(f'{name}_dataloader') is not None]
    if split not in there:
        raise UsageError(
            f"the config has no split '{split}' ({split}_dataloader): it has "
            f'{", ".join(there) if there else "none"}'
        )
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    check_data_layout(cfg, (f'{split}_dataloader',))
    return DATASETS.build(cfg[f'{split}_dataloader'].dataset)
