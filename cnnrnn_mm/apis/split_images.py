# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The images of any split, each once, as a test would see them, and in augmented copies.

Axis letters: n images.
"""

import copy
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpretrain.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets.annotations import class_names, read_labels
from ..errors import UsageError
from .data_layout import check_data_layout
from .dataset_configs import leaves, map_leaves, pipeline_of, split_pipeline, type_name
from .fingerprint import plain_pipeline

__all__ = ['SplitImages']

SPLITS = ('train', 'val', 'test')
#: What a dataset may know about an image beside its labels, and a cache keeps.
FURTHER_KEYS = ('gt_label_difficult', 'gt_area')


class SplitImages(Dataset):
    """What the pipelines make of each image: first the plain view, then ``copies`` augmented ones.

    Dataset wrappers are looked through, and an image that is listed twice comes once. Item ``i`` is
    a list of ``1 + copies`` tensors. All random draws of a view start from a state that depends on
    ``seed``, the image's path and the copy's number alone, and the states outside stay as they are.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        copies: Copies through the training pipeline.
        seed: Of the copies.

    Attributes:
        annotations: n dicts with ``img_path``, ``gt_label`` (list of class ids), ``file_size``
            (bytes; None for what is no local file) and the further keys that the dataset has.
        classes: C class names, or None.

    Raises:
        UsageError: If the config lacks the split or a pipeline, or data is missing on disk.
    """

    def __init__(self, cfg: Config, split: str, copies: int = 0, seed: int = 0) -> None:
        there = [name for name in SPLITS if cfg.get(f'{name}_dataloader') is not None]
        if split not in there:
            raise UsageError(
                f"the config has no split '{split}' ({split}_dataloader): it has {', '.join(there)}"
            )
        pipelines = [_without_order(plain_pipeline(cfg, split), f'the {split} split')]
        if copies:
            training = pipeline_of(cfg.train_dataloader.dataset)
            pipelines += [_without_order(training, 'training')] * copies
        check_data_layout(cfg, (f'{split}_dataloader',))
        self.seed = seed
        self.annotations, self._places, self._leaves = [], [], []
        seen: set[str] = set()
        for leaf in leaves(cfg[f'{split}_dataloader'].dataset):
            self._add(_build(leaf), pipelines, seen)
        self.classes = class_names(self._leaves[0][0])

    def _add(self, dataset: Dataset, pipelines: list[list[dict]], seen: set[str]) -> None:
        """Add the images of a dataset that were not seen yet."""
        views = []
        for pipeline in pipelines:
            view = copy.copy(dataset)  # shares the annotations
            view.pipeline, view.test_mode = Compose(pipeline), True  # no image is replaced
            views.append(view)
        self._leaves.append(views)
        labels, paths = read_labels(dataset)
        for index, (label, path) in enumerate(zip(labels, paths, strict=True)):
            if path in seen:
                continue
            seen.add(path)
            info = dataset.get_data_info(index)
            size = os.stat(path).st_size if os.path.isfile(path) else None
            known = dict(img_path=path, gt_label=label.tolist(), file_size=size)
            further = {key: _plain(info[key]) for key in FURTHER_KEYS if key in info}
            self.annotations.append({**known, **further})
            self._places.append((len(self._leaves) - 1, index))

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> list[Tensor]:
        leaf, place = self._places[index]
        path, found = self.annotations[index]['img_path'], []
        for number, view in enumerate(self._leaves[leaf]):
            with _draws_from(self.seed, path, number):
                found.append(view[place]['inputs'])
        return found


def _build(leaf: dict) -> Dataset:
    """A dataset of the host with its annotations read, whose pipeline is to be set."""
    dataset = DATASETS.build(_with_pipeline(leaf, []))
    if not hasattr(dataset, 'get_data_info') or not hasattr(dataset, 'pipeline'):
        raise UsageError(
            f'features of a {type(dataset).__name__} can not be kept: use a dataset derived from '
            "the host's BaseDataset"
        )
    dataset.full_init()
    return dataset


def _with_pipeline(leaf: dict, pipeline: list[dict]) -> dict:
    if 'dataset' in leaf:  # ReadableImages
        inner = map_leaves(leaf['dataset'], lambda one: _with_pipeline(one, pipeline))
        return {**leaf, 'dataset': inner}
    return {**leaf, 'pipeline': pipeline}


def _without_order(pipeline: list[dict], name: str) -> list[dict]:
    """An order of labels needs a fit, and no pixel depends on it."""
    pixels, labels = split_pipeline(pipeline, name)
    return pixels + [one for one in labels if type_name(one).startswith('Pack')]


def _plain(value):
    """Arrays and tensors as lists."""
    return value.tolist() if hasattr(value, 'tolist') else value


@contextmanager
def _draws_from(seed: int, path: str, number: int) -> Iterator[None]:
    """Random draws of a view that are the same in any process, order and batch."""
    name = f'{seed} {number} {path}'.encode()
    word = int.from_bytes(hashlib.sha256(name).digest()[:4], 'big')
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(word)
        np.random.seed(word)
        torch.manual_seed(word)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
