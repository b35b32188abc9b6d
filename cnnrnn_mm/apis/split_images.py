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
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmpretrain.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets.annotations import class_names, read_labels
from ..datasets.transforms.box_checks import check_boxes_move, has_proposals
from ..datasets.view_boxes import FIELDS, GROUND_TRUTH
from ..errors import UsageError
from .data_layout import check_data_layout
from .dataset_configs import (
    leaves,
    map_leaves,
    pipeline_of,
    split_pipeline,
    type_name,
)
from .fingerprint import plain_pipeline

__all__ = ['ImageView', 'SplitImages']

SPLITS = ('train', 'val', 'test')
#: What a dataset may know about an image beside its labels, and a cache keeps.
FURTHER_KEYS = ('gt_label_difficult', 'gt_area')


class ImageView(NamedTuple):
    """What a pipeline made of an image.

    Attributes:
        inputs: (3, H, W).
        boxes: ``img_shape`` (H, W) and those of ``gt_bboxes``, ``gt_bboxes_labels`` and
            ``proposals`` that there are; None where the split has none.
    """

    inputs: Tensor
    boxes: dict[str, Any] | None


class SplitImages(Dataset):
    """What the pipelines make of each image: first the plain view, then ``copies`` augmented ones.

    Dataset wrappers are looked through, and an image that is listed twice comes once. Item ``i`` is
    a list of ``1 + copies`` :class:`ImageView`. All random draws of a view start from a state that
    depends on ``seed``, the image's path and the copy's number alone, and the states outside stay
    as they are.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        copies: Copies through the training pipeline.
        seed: Of the copies.

    Attributes:
        annotations: n dicts with ``img_path``, ``gt_label`` (list of class ids), ``file_size``
            (bytes; None for what is no local file) and the further keys that the dataset has.
        classes: C class names, or None.
        box_keys: Under which keys the images have boxes: 'gt_bboxes' where the annotations have
            them, 'proposals' where a pipeline adds them.
        objects: 16 hexadecimal digits that stand for the objects' boxes and classes in the
            annotations; None without ``box_keys``.

    Raises:
        UsageError: If the config lacks the split or a pipeline, or data is missing on disk, or if
            there are boxes and a pipeline moves pixels under them.
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
        self.annotations: list[dict[str, Any]] = []
        self._places: list[tuple[int, int]] = []  # leaf and index in it
        self._leaves: list[list[Any]] = []  # the datasets of the views
        self._has_objects = False
        seen: set[str] = set()
        objects = hashlib.sha256()
        for leaf in leaves(cfg[f'{split}_dataloader'].dataset):
            self._add(_build(leaf), pipelines, seen, objects)
        self.classes = class_names(self._leaves[0][0])
        composed = [view.pipeline.transforms for view in self._leaves[0]]
        proposed = any(map(has_proposals, composed))
        self.box_keys = ('gt_bboxes',) * self._has_objects + ('proposals',) * proposed
        self.objects = objects.hexdigest()[:16] if self.box_keys else None
        for number, transforms in enumerate(composed[:2]):
            name = 'training' if number else f'the {split} split'
            check_boxes_move(transforms, self._has_objects, name)

    def _add(
        self, dataset: BaseDataset, pipelines: list[list[dict]], seen: set[str], objects: Any
    ) -> None:
        """Add the images of a dataset that were not seen yet, and their objects to a digest."""
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
            if 'gt_bboxes' in info:
                self._has_objects = True
                boxes, ids = (_plain(info[key]) for key in GROUND_TRUTH)
                objects.update(repr((path, boxes, ids)).encode())
            self._places.append((len(self._leaves) - 1, index))

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> list[ImageView]:
        leaf, place = self._places[index]
        path, found = self.annotations[index]['img_path'], []
        for number, view in enumerate(self._leaves[leaf]):
            with _draws_from(self.seed, path, number):
                found.append(self._view(view[place]))
        return found

    def _view(self, item: dict) -> ImageView:
        if not self.box_keys:
            return ImageView(item['inputs'], None)
        sample = item['data_samples']
        boxes = {key: sample.get(key) for key in FIELDS if key in sample}
        return ImageView(item['inputs'], {'img_shape': tuple(item['inputs'].shape[-2:]), **boxes})


def _build(leaf: dict) -> BaseDataset:
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
    return pixels + [_with_boxes(one) for one in labels if type_name(one).startswith('Pack')]


def _with_boxes(pack: dict) -> dict:
    """Boxes are kept whatever the config packs; what the results lack is passed over."""
    if type_name(pack) != 'PackInputs':
        return pack
    keys = (*pack.get('algorithm_keys', ()), *FIELDS)
    return {**pack, 'algorithm_keys': tuple(dict.fromkeys(keys))}


def _plain(value: Any) -> Any:
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
