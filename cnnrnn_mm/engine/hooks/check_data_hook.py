# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Check what a run reads before its first step."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.models import ClsHead, MultiLabelClsHead

from ...datasets.annotations import check_labels, class_names, describe, read_labels
from ...errors import UsageError
from ...registry import HOOKS

__all__ = ['CheckDataHook']


@HOOKS.register_module()
class CheckDataHook(Hook):
    """End a run with one line before it starts, if its data can't be right.

    For each split the run uses: it is not empty, its labels are classes and none comes twice, its
    class list is the head's in number and the loaded checkpoint's in names and order.
    """

    def __init__(self) -> None:
        self._checkpoint_classes: list[str] | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember the class list the weights were trained with."""
        classes = (checkpoint.get('meta', {}).get('dataset_meta') or {}).get('classes')
        self._checkpoint_classes = None if classes is None else [str(name) for name in classes]

    def before_train(self, runner) -> None:
        """Check the training and the validation split."""
        self._check(runner, runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check(runner, runner.val_dataloader.dataset)

    def before_val(self, runner) -> None:
        """Check the split of a validation that is not part of a training run."""
        if runner._train_loop is None or isinstance(runner._train_loop, dict):
            self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        """Check the test split."""
        self._check(runner, runner.test_dataloader.dataset)

    def _check(self, runner, dataset) -> None:
        classes = class_names(dataset)
        if classes is None:  # a multi-task set; LabelOrderHook checks the task it orders
            return
        name = describe(dataset)
        labels, paths = read_labels(dataset)
        check_labels(labels, paths, len(classes))
        head_classes = _head_classes(runner.model)
        if head_classes is not None and head_classes != len(classes):
            raise UsageError(
                f'the head has num_classes={head_classes}, but {name} has {len(classes)} classes: '
                f'set num_classes={len(classes)} in model.head and in data_preprocessor'
            )
        stored = self._checkpoint_classes
        if stored is not None and stored != classes:
            raise UsageError(_difference(name, classes, stored))


def _head_classes(model) -> int | None:
    """``num_classes`` of a single classification head, None if it can't be told."""
    model = model.module if is_model_wrapper(model) else model
    head = getattr(model, 'head', None)
    if isinstance(head, (ClsHead, MultiLabelClsHead)):
        layer = getattr(head, 'fc', None)
        return getattr(layer, 'out_features', None)
    return getattr(head, 'num_classes', None)


def _difference(name: str, classes: list[str], stored: list[str]) -> str:
    """Name the first class that differs."""
    position = next(
        (
            index
            for index, pair in enumerate(zip(classes, stored, strict=False))
            if len(set(pair)) > 1
        ),
        min(len(classes), len(stored)),
    )
    ours, theirs = (
        repr(names[position]) if position < len(names) else 'nothing' for names in (classes, stored)
    )
    return (
        f"the class list of {name} ({len(classes)} classes) differs from the checkpoint's "
        f"({len(stored)}) at id {position}: {ours} instead of {theirs}; use the checkpoint's class "
        "list, or load only the backbone with init_cfg=dict(type='Pretrained', checkpoint=..., "
        "prefix='backbone')"
    )
