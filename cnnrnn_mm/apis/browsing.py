# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Images of a dataset as its pipeline changes them, with their labels in the order learnt."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from ..datasets.transforms import OrderLabels
from ..engine.hooks.label_order_hook import LabelOrderHook, find_transforms
from ..errors import UsageError
from .split_dataset import build_split_dataset

__all__ = ['BrowsedImage', 'browse_split']


@dataclass
class BrowsedImage:
    """One image.

    Attributes:
        path: Its path; empty where the dataset has none.
        labels: Class ids, ordered where ``order`` is given.
        order: Name of the label order that training uses; None if it has none.
        difficult: Class ids of which the image shows difficult objects only.
        stages: Name of a transform and the image (h, w, ...) behind it, for the transforms that
            changed it.
        unchanged: Names of those that left it as it was.
    """

    path: str
    labels: list[int]
    order: str | None
    difficult: list[int]
    stages: list[tuple[str, np.ndarray]]
    unchanged: list[str]


def browse_split(
    cfg: Config, phase: str
) -> tuple[Iterator[BrowsedImage], int, tuple[str, ...] | None]:
    """The images of a split, one after the other.

    The label order is fitted on the training split, as :class:`LabelOrderHook` does before a run,
    also where the images are another split's, whose pipeline has no :class:`OrderLabels`.

    Args:
        cfg: A run's config.
        phase: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        The images, their number and the class names, or None.

    Raises:
        UsageError: If the config lacks the split, data is missing, or the labels have tasks.
    """
    dataset = build_split_dataset(cfg, phase)
    train = dataset
    if phase != 'train' and cfg.get('train_dataloader') is not None:
        train = build_split_dataset(cfg, 'train')
    orders = list(find_transforms(train, OrderLabels))
    if any(order.task is not None for order in orders):
        raise UsageError('the labels have tasks: this tool shows plain label lists only')
    if orders:
        LabelOrderHook._fit(train, '', orders)
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    recorder = _Recorder()
    recorder.watch(dataset)
    images = _browse(dataset, recorder, orders, ordered=phase == 'train')
    return images, len(dataset), classes


def _browse(
    dataset: Any, recorder: '_Recorder', orders: list[OrderLabels], ordered: bool
) -> Iterator[BrowsedImage]:
    first = orders[0] if orders else None
    single = len(set(map(_order_key, orders))) <= 1
    name = None if first is None else (first.order if single else 'mixed')
    for index in range(len(dataset)):
        recorder.start({})
        dataset[index]
        info = recorder.info
        if not recorder.stages:
            raise UsageError(
                f'image {index} ({info.get("img_path", "without a path")}) has no pixels in the '
                'pipeline: give a config that loads photos, not features'
            )
        labels = recorder.labels
        if not ordered and first is not None and single:
            labels = first(dict(gt_label=labels))['gt_label']
        yield BrowsedImage(
            path=str(info.get('img_path', '')),
            labels=np.asarray(labels).tolist(),
            order=name if ordered or single else None,
            difficult=list(info.get('gt_label_difficult', ())),
            stages=list(recorder.stages),
            unchanged=list(recorder.unchanged),
        )


def _order_key(order: OrderLabels) -> tuple[str, tuple[int, ...] | None]:
    return order.order, None if order.sequence is None else tuple(order.sequence.tolist())


class _Recorder:
    """Keeps what the transforms of a pipeline do to one image."""

    def __init__(self) -> None:
        self.start({})

    def start(self, info: dict) -> None:
        """Forget the image before; a dataset may try several images for one index."""
        self.info = dict(info)
        self.labels = info.get('gt_label', ())
        self.stages: list[tuple[str, np.ndarray]] = []
        self.unchanged: list[str] = []

    def watch(self, dataset: Any) -> None:
        """Record the pipelines of a dataset and of those that it wraps."""
        if isinstance(getattr(dataset, 'pipeline', None), Compose):
            dataset.pipeline = _RecordingCompose(dataset.pipeline.transforms, self)
        inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
        for one in inner:
            if one is not None:
                self.watch(one)

    def note(self, name: str, results: dict) -> None:
        """Keep image and labels behind a transform."""
        self.labels = results.get('gt_label', self.labels)
        image = results.get('img')
        if not isinstance(image, np.ndarray) or image.ndim < 2:
            return
        if self.stages and np.array_equal(image, self.stages[-1][1]):
            self.unchanged.append(name)
        else:
            self.stages.append((name, image.copy()))


class _RecordingCompose(Compose):
    """A pipeline that tells a recorder what each of its transforms gives."""

    def __init__(self, transforms: list, recorder: _Recorder) -> None:
        super().__init__([])
        self.transforms, self.recorder = transforms, recorder

    def __call__(self, data: dict) -> dict | None:
        self.recorder.start(data)
        for transform in self.transforms:
            data = transform(data)
            if data is None:
                return None
            self.recorder.note(type(transform).__name__, data)
        return data
