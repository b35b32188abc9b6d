# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Training runs that differ in their label order.

Axis letters: C classes.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, ValLoop

from ..datasets.annotations import class_names, read_labels
from ..datasets.transforms import OrderLabels
from ..engine.hooks.label_order_hook import find_transforms
from ..errors import UsageError
from ..models.vocabulary import NO_SINGLE_ORDER
from .dataset_configs import type_name

__all__ = ['MEASURES', 'METRICS', 'OrderRun', 'check_order', 'train_in_order']

PREFIX = 'label-order'
#: What tells how easy a class is, and its name among the metrics.
MEASURES = {'AP': f'{PREFIX}/AP_classwise', 'recall': f'{PREFIX}/recall_classwise'}
#: What tells how good an order is, in percent.
METRICS = ('mAP', 'O-F1', 'C-F1', 'exact-match')
#: Losses to which the order means nothing.
ORDER_FREE = ('AlignedSequenceLoss', 'LabelSetLoss')


class OrderRun(NamedTuple):
    """What a run gave.

    Attributes:
        name: What its :class:`OrderLabels` calls the order.
        sequence: (C,) class ids, the first label first; None for a new order for each image.
        classes: (C,) class names; None where the dataset has none.
        scores: For each of ``METRICS`` its value on the validation split, in percent.
        ease: (C,) each class's AP or recall in percent; NaN without a validation image.
    """

    name: str
    sequence: tuple[int, ...] | None
    classes: tuple[str, ...] | None
    scores: dict[str, float]
    ease: np.ndarray


def check_order(cfg: Config) -> None:
    """Refuse a config to which one label order means nothing.

    Raises:
        UsageError: If it has no validation split, no :class:`OrderLabels` or several different
            ones, or a loss that learns no order.
    """
    if cfg.get('val_dataloader') is None:
        raise UsageError('the config has no val_dataloader: classes are measured on it, so add one')
    loss = (cfg.model.get('head') or {}).get('loss') or {}
    if type_name(loss) in ORDER_FREE:
        raise UsageError(
            f'{type_name(loss)} learns no label order, so none can be fitted: use SequenceLoss'
        )
    found = list(_order_configs(cfg.train_dataloader.dataset))
    if not found:
        raise UsageError(
            "no OrderLabels in the training pipeline: add dict(type='cnnrnn_mm.OrderLabels') "
            'before the packing transform'
        )
    if len({str(sorted(one.items())) for one in found}) > 1 or found[0].get('task') is not None:
        raise UsageError(
            'the training pipeline orders several tasks, or in several ways: a search for one '
            'order needs OrderLabels with the same arguments throughout, and without task'
        )


def train_in_order(
    cfg: Config, sequence: tuple[int, ...] | None, number: int, seed: int, measure: str
) -> OrderRun:
    """Train in an order, and measure the model after the last epoch on the validation split.

    Args:
        cfg: A run's config; it is not changed.
        sequence: (C,) class ids; None for the order that the config has.
        number: Of the order, in the names of folder and run.
        seed: Of the run.
        measure: One of ``MEASURES``.
    """
    cfg = _run_config(cfg, sequence, number, seed)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.train()
    loader = runner.val_dataloader
    metrics = ValLoop(runner, loader, _evaluator(cfg), runner.val_loop.fp16).run()
    ease = np.array(metrics[MEASURES[measure]])
    labels, _ = read_labels(loader.dataset)
    there = np.bincount(np.concatenate(labels), minlength=len(ease)) > 0
    classes = class_names(loader.dataset)
    transform = next(find_transforms(runner.train_dataloader.dataset, OrderLabels))
    single = transform.order not in NO_SINGLE_ORDER
    return OrderRun(
        transform.order,
        tuple(transform.fitted().tolist()) if single else None,
        None if classes is None else tuple(classes),
        {metric: float(metrics[f'{PREFIX}/{metric}']) for metric in METRICS},
        np.where(there, ease, np.nan),
    )


def _order_configs(value: Any) -> Iterator[dict]:
    """The configs of all :class:`OrderLabels` inside of a dataset's config."""
    if isinstance(value, dict):
        if type_name(value) == 'OrderLabels':
            yield value
        for one in value.values():
            yield from _order_configs(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _order_configs(one)


def _run_config(cfg: Config, sequence: tuple[int, ...] | None, number: int, seed: int) -> Config:
    """The config of one run; None for the order that the config has."""
    cfg = copy.deepcopy(cfg)
    if sequence is not None:
        for one in _order_configs(cfg.train_dataloader.dataset):
            one.pop('seed', None)
            one.update(order='given', given=list(sequence))
    cfg.work_dir = str(Path(cfg.work_dir) / f'order_{number}' / f'seed_{seed}')
    # Loggers are found by this name, and runs may begin within the same second.
    cfg.experiment_name = f'order_{number}_seed_{seed}_{uuid4().hex[:8]}'
    cfg.randomness = ConfigDict({**(cfg.get('randomness') or {}), 'seed': seed})
    cfg.default_hooks = ConfigDict({**(cfg.get('default_hooks') or {}), 'checkpoint': None})
    return cfg


def _evaluator(cfg: Config) -> list[dict]:
    """Metrics that leave difficult labels out where the config's own do."""
    own = cfg.val_evaluator
    own = own if isinstance(own, (list, tuple)) else [own]
    options = dict(
        classwise=True,
        prefix=PREFIX,
        ignore_difficult=any(one.get('ignore_difficult', False) for one in own),
    )
    return [
        dict(type='cnnrnn_mm.RankingMetric', items=['mAP'], **options),
        dict(type='cnnrnn_mm.LabelSetMetric', items=list(METRICS[1:]), **options),
    ]
