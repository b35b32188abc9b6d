# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fit the label order on the training split and keep it in the checkpoint."""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.annotations import check_labels, class_names, read_labels
from ...datasets.transforms import OrderLabels
from ...errors import UsageError
from ...registry import HOOKS

__all__ = ['LabelOrderHook', 'tell_heads']


#: The order of a pipeline that chooses between several.
MIXED = 'mixed'

T = TypeVar('T')


@HOOKS.register_module()
class LabelOrderHook(Hook):
    """Fit every :class:`OrderLabels` of the training pipeline, before the first step.

    The counts come from the dataset the run trains on, wrappers included, so nothing can go stale.
    Rank 0 fits and all ranks use its order. The annotations are checked on the way: a label outside
    the classes or a duplicate ends the run here. The order is stored in the checkpoint under
    ``meta['label_order']`` as ``{task or '': {'order': name, 'sequence': class ids}}``; a resumed
    run takes it from there and warns if the data would now give another.
    """

    def __init__(self) -> None:
        self._resumed: dict | None = None
        self._fitted: dict = {}
        self._early_iterator = None
        self._unusable: UsageError | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the stored order of a run that is resumed, and tell the heads."""
        stored = checkpoint.get('meta', {}).get('label_order')
        if runner._resume:  # the host offers no public way to ask
            self._resumed = stored
        self._unusable = None
        try:
            tell_heads(runner.model, stored or {})
        except UsageError as error:  # of no weight if this run trains, in an order of its own
            self._unusable = error

    def before_train(self, runner: Runner) -> None:
        """Fit, on rank 0, and hand the order to all ranks."""
        dataset = runner.train_dataloader.dataset
        transforms = list(find_transforms(dataset, OrderLabels))
        if not transforms:
            raise UsageError(
                'LabelOrderHook found no OrderLabels in the training pipeline: add '
                "dict(type='cnnrnn_mm.OrderLabels') before the packing transform"
            )
        by_task: dict[str, list[OrderLabels]] = {}
        for transform in transforms:
            by_task.setdefault(transform.task or '', []).append(transform)
        for task, group in by_task.items():
            self._fit(dataset, task, group)
        resumed, self._resumed = self._resumed, None
        self._fitted = self._as_resumed(runner, by_task, resumed) if resumed else _orders(by_task)
        tell_heads(runner.model, self._fitted)
        self._early_iterator = _restart_early_workers(runner.train_loop)

    def before_val(self, runner: Runner) -> None:
        """Refuse to decode in an order that the checkpoint does not have."""
        if self._unusable is not None and not self._fitted:
            raise self._unusable

    before_test = before_val

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the order."""
        checkpoint['meta']['label_order'] = self._fitted

    @staticmethod
    def _fit(dataset: Any, task: str, group: list[OrderLabels]) -> None:
        """Count the labels once and fit all transforms of a task."""
        labels, paths = read_labels(dataset, task or None)
        classes = None if task else class_names(dataset)
        num_classes = group[0].num_classes or (len(classes) if classes else None)
        if num_classes is None:
            raise UsageError(
                f'the number of classes of {f"task {task!r}" if task else "the dataset"} is not '
                'known: set num_classes in OrderLabels or metainfo=dict(classes=...) in the dataset'
            )
        check_labels(labels, paths, num_classes)
        counts = np.bincount(np.concatenate(labels), minlength=num_classes)
        for transform in group:
            transform.fit(counts, classes)
            sequence = [transform.fitted().tolist()]
            broadcast_object_list(sequence)
            transform.set_sequence(sequence[0])

    @staticmethod
    def _as_resumed(runner: Runner, by_task: dict[str, list[OrderLabels]], resumed: dict) -> dict:
        """Put the checkpoint's order in place of the fitted one."""
        for task, group in by_task.items():
            stored = resumed.get(task)
            if stored and stored['order'] == MIXED:  # each transform has its own, fitted anew
                continue
            if not stored:
                continue
            for transform in group:
                if len(stored['sequence']) != len(transform.fitted()):
                    raise UsageError(
                        f'the checkpoint orders {len(stored["sequence"])} classes, the dataset has '
                        f'{len(transform.fitted())}: resume with the class list of the checkpoint'
                    )
                if stored['order'] != transform.order:
                    raise UsageError(
                        f"the checkpoint was trained with label order '{stored['order']}', the "
                        f"config says '{transform.order}': resume with the order of the checkpoint"
                    )
                if stored['sequence'] != transform.fitted().tolist():
                    runner.logger.warning(
                        'The training split gives another label order than the one stored in the '
                        'checkpoint; the stored one is used.'
                    )
                transform.set_sequence(stored['sequence'])
        return _orders(by_task)


def find_transforms(root: Any, kind: type[T]) -> Iterator[T]:
    """All transforms of type ``kind`` in a dataset, through dataset and transform wrappers."""
    if isinstance(root, kind):
        yield root
    children: list = []
    for name in ('dataset', 'pipeline'):
        children += [getattr(root, name)] if getattr(root, name, None) is not None else []
    for name in ('datasets', 'transforms', 'task_handlers'):
        value = getattr(root, name, None) or ()
        children += list(value.values() if isinstance(value, dict) else value)
    if isinstance(root, (list, tuple)):  # the branches of RandomChoice
        children += list(root)
    for child in children:
        yield from find_transforms(child, kind)


def tell_heads(model: Any, label_order: dict) -> None:
    """Hand the order to the heads that can decode in it, through wrappers and task heads."""
    while not hasattr(model, 'head') and hasattr(model, 'module'):
        model = model.module
    head = getattr(model, 'head', None)
    for task, stored in label_order.items():
        heads: Any = getattr(head, 'task_heads', {}) if task else {'': head}
        if task in heads and hasattr(heads[task], 'set_training_order'):
            count = getattr(heads[task], 'num_classes', None)
            single = stored['order'] not in ('random', MIXED)
            if single and count is not None and len(stored['sequence']) != count:
                raise UsageError(
                    f'the label order has {len(stored["sequence"])} classes, but the head has '
                    f'{count}: use the checkpoint and the config of one run'
                )
            heads[task].set_training_order(stored['order'], stored['sequence'])


def _orders(by_task: dict[str, list[OrderLabels]]) -> dict:
    """Plain types for the checkpoint; one order a task, or that there is no single one."""
    orders = {}
    for task, group in by_task.items():
        sequence = group[0].fitted().tolist()
        same = all(
            one.order == group[0].order and one.fitted().tolist() == sequence for one in group
        )
        orders[task] = {'order': group[0].order if same else MIXED, 'sequence': sequence}
    return orders


def _restart_early_workers(loop: Any) -> Any:
    """Start the workers of an iteration-based loop anew; return what must be kept alive.

    That loop starts them when it is built, which is before any hook runs, so they hold a copy of
    the pipeline from before the fit. The old iterator must outlive the run: the host's
    InfiniteSampler has a single stream of indices, and dropping an iterator would close it.
    """
    if not hasattr(loop, 'dataloader_iterator') or loop.dataloader.num_workers == 0:
        return None
    early = loop.dataloader_iterator._iterator
    early._shutdown_workers()
    loop.dataloader._iterator = None  # persistent workers would be handed out again
    loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)
    return early
