# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Check what a run reads before its first step."""

from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.datasets import PackInputs
from mmpretrain.models import ClsHead, MultiLabelClsHead

from ...datasets.annotations import check_labels, class_names, describe, infos, read_labels
from ...datasets.label_checks import check_class_names
from ...datasets.transforms.box_checks import check_boxes_move
from ...datasets.transforms.pipeline_parts import check_pipeline_parts
from ...errors import UsageError
from ...registry import HOOKS
from .dataset_parts import dataset_parts
from .label_order_hook import find_transforms

__all__ = ['CheckDataHook']


@HOOKS.register_module()
class CheckDataHook(Hook):
    """End a run with one line before it starts, if its data can't be right.

    For each split the run uses: its pipeline loads and packs, it is not empty, its labels are
    classes and none comes twice, its class list has no name twice and is the head's in number and
    the loaded checkpoint's in names and order. One-hot labels that the data preprocessor makes have
    this number of classes; one that makes none gets a warning if it has another. Where the training
    split says that the labels of difficult objects are to be ignored, they reach the head and it
    ignores them. Where there are boxes or proposals, the pipeline moves them with the pixels.
    """

    def __init__(self) -> None:
        self._checkpoint_classes: list[str] | None = None
        self._warned = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the class list the weights were trained with."""
        classes = (checkpoint.get('meta', {}).get('dataset_meta') or {}).get('classes')
        self._checkpoint_classes = None if classes is None else [str(name) for name in classes]

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation split."""
        self._check(runner, runner.train_dataloader.dataset)
        _check_ignored(runner.train_dataloader.dataset, runner.model)
        if runner.val_loop is not None:
            self._check(runner, runner.val_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Check the split of a validation that is not part of a training run."""
        if runner._train_loop is None or isinstance(runner._train_loop, dict):
            self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test split."""
        self._check(runner, runner.test_dataloader.dataset)

    def _check(self, runner: Runner, dataset: Any) -> None:
        for part in dataset_parts(dataset):
            transforms = getattr(getattr(part, 'pipeline', None), 'transforms', [])
            check_boxes_move(transforms, getattr(part, 'boxes', False), describe(part))
            check_pipeline_parts(transforms, _read_by_pipeline(part), describe(part))
        classes = class_names(dataset)
        if classes is None:  # a multi-task set; LabelOrderHook checks the task it orders
            return
        name = describe(dataset)
        check_class_names(classes, name)
        labels, paths = read_labels(dataset)
        check_labels(labels, paths, len(classes))
        head_classes = _head_classes(runner.model)
        if head_classes is not None and head_classes != len(classes):
            raise UsageError(
                f'the head has num_classes={head_classes}, but {name} has {len(classes)} classes: '
                f'set num_classes={len(classes)} in model.head and in data_preprocessor'
            )
        self._check_preprocessor(runner, name, len(classes))
        stored = self._checkpoint_classes
        if stored is not None and stored != classes:
            raise UsageError(_difference(name, classes, stored))

    def _check_preprocessor(self, runner: Runner, name: str, classes: int) -> None:
        """Its one-hot labels have a length of their own, which nothing else reads."""
        preprocessor = getattr(_classifier(runner.model), 'data_preprocessor', None)
        count = getattr(preprocessor, 'num_classes', None)
        if count is None or count == classes:
            return
        line = (
            f'data_preprocessor has num_classes={count}, but {name} has {classes} classes: set '
            f'data_preprocessor.num_classes={classes}'
        )
        if getattr(preprocessor, 'to_onehot', False):
            raise UsageError(line)
        if not self._warned:
            self._warned = True
            runner.logger.warning(f'{line} (of no effect here: no one-hot labels are made)')


def _check_ignored(dataset: Any, model: Any) -> None:
    """What ``difficult='ignore'`` of a dataset needs elsewhere in the config is there."""
    for part in dataset_parts(dataset):
        if getattr(part, 'difficult', None) != 'ignore' or part.test_mode:
            continue
        first = next((info for info in infos(part) if info.get('gt_label_difficult')), None)
        if first is None:
            continue
        problem = f"{describe(part)} has difficult='ignore' (as for image {first['img_path']}), but"
        for pack in find_transforms(part, PackInputs):
            if 'gt_label_difficult' not in pack.meta_keys:
                keys = (*pack.meta_keys, 'gt_label_difficult')
                raise UsageError(
                    f'{problem} the training pipeline does not hand gt_label_difficult on: write '
                    f"dict(type='PackInputs', meta_keys={keys})"
                )
        head = _head(model)
        if not getattr(head, 'ignore_difficult', False):
            remedy = (
                'set ignore_difficult=True in model.head'
                if hasattr(head, 'ignore_difficult')
                else "set difficult='negative' or 'positive' in the dataset"
            )
            raise UsageError(
                f'{problem} {type(head).__name__} does not leave these labels out of the loss: '
                f'{remedy}'
            )


def _read_by_pipeline(dataset: Any) -> dict:
    """The first annotation, where it goes to the pipeline as it is; else nothing."""
    own = getattr(type(dataset), 'prepare_data', None) is not BaseDataset.prepare_data
    own = own or type(dataset).__getitem__ is not BaseDataset.__getitem__
    return {} if own else next(infos(dataset), {})


def _classifier(model: Any) -> Any:
    """The model inside wrappers for several processes or for test-time augmentation."""
    while not hasattr(model, 'head') and hasattr(model, 'module'):
        model = model.module
    return model


def _head(model: Any) -> Any:
    """The model's head."""
    return getattr(_classifier(model), 'head', None)


def _head_classes(model: Any) -> int | None:
    """``num_classes`` of a single classification head, None if it can't be told."""
    head = _head(model)
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
