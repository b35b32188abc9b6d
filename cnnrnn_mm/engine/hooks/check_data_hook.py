# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Check what a run reads before its first step."""

from collections.abc import Iterator

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmpretrain.datasets import PackInputs
from mmpretrain.models import ClsHead, MultiLabelClsHead

from ...datasets.annotations import check_labels, class_names, describe, infos, read_labels
from ...datasets.label_checks import check_class_names
from ...datasets.transforms.box_checks import check_boxes_move
from ...datasets.transforms.pipeline_parts import check_pipeline_parts
from ...errors import UsageError
from ...registry import HOOKS
from .label_order_hook import find_transforms

__all__ = ['CheckDataHook']


@HOOKS.register_module()
class CheckDataHook(Hook):
    """End a run with one line before it starts, if its data can't be right.

    For each split the run uses: its pipeline loads and packs, it is not empty, its labels are
    classes and none comes twice, its class list has no name twice and is the head's in number and
    the loaded checkpoint's in names and order. Where the training split says that the labels of
    difficult objects are to be ignored, they reach the head and it ignores them. Where there are
    boxes or region proposals, the pipeline moves them with the pixels.
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
        _check_ignored(runner.train_dataloader.dataset, runner.model)
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
        for part in _parts(dataset):
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
        stored = self._checkpoint_classes
        if stored is not None and stored != classes:
            raise UsageError(_difference(name, classes, stored))


def _check_ignored(dataset, model) -> None:
    """What ``difficult='ignore'`` of a dataset needs elsewhere in the config is there."""
    for part in _parts(dataset):
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


def _parts(dataset) -> Iterator:
    """The datasets inside wrappers, or the dataset itself."""
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
    inner = [one for one in inner if one is not None]
    for one in inner:
        yield from _parts(one)
    if not inner:
        yield dataset


def _read_by_pipeline(dataset) -> dict:
    """The first annotation, where it goes to the pipeline as it is; else nothing."""
    own = getattr(type(dataset), 'prepare_data', None) is not BaseDataset.prepare_data
    own = own or type(dataset).__getitem__ is not BaseDataset.__getitem__
    return {} if own else next(infos(dataset), {})


def _head(model):
    """The model's head, inside wrappers for several processes or for test-time augmentation."""
    while not hasattr(model, 'head') and hasattr(model, 'module'):
        model = model.module
    return getattr(model, 'head', None)


def _head_classes(model) -> int | None:
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
