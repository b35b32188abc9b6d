# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Predictions that ``tools/test.py --out`` wrote, beside the truth of the split they are for.

Axis letters: N images, C classes.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.annotations import check_labels, class_names, describe, infos, read_labels
from ..errors import UsageError
from ..evaluation.functional import labels_to_sets, topk_labels
from .plain_pickle import load_plain_pickle

__all__ = ['SplitTruth', 'read_predictions', 'read_truth']


@dataclass(frozen=True)
class SplitTruth:
    """The annotations of a split.

    Attributes:
        name: The dataset, for messages.
        classes: C class names.
        paths: N image paths.
        target: BoolTensor (N, C).
        difficult: BoolTensor (N, C), labels of which an image shows difficult objects only; None
            where the dataset does not say.
        areas: N dicts, class id to the share of the image, in (0, 1], that the box of the label's
            largest object covers; None where the dataset has no boxes.
    """

    name: str
    classes: tuple[str, ...]
    paths: list[str]
    target: Tensor
    difficult: Tensor | None
    areas: list[dict[int, float]] | None


def read_truth(dataset: Any) -> SplitTruth:
    """Read a dataset's annotations.

    Raises:
        UsageError: If it is empty, has no class names, or a label or an area can't be right.
    """
    labels, paths = read_labels(dataset)
    classes = class_names(dataset)
    if classes is None:
        raise UsageError(
            f'{describe(dataset)} has no class names: set metainfo=dict(classes=[...]) in its '
            'config'
        )
    check_labels(labels, paths, len(classes))
    target = labels_to_sets(labels, len(classes))
    difficult = areas = None
    found = list(infos(dataset))
    if any('gt_label_difficult' in info for info in found):
        hidden = [info.get('gt_label_difficult', ()) for info in found]
        difficult = labels_to_sets(hidden, len(classes)) & ~target
    if any('gt_area' in info for info in found):
        areas = [
            _check_areas(info.get('gt_area') or {}, path)
            for info, path in zip(found, paths, strict=True)
        ]
    return SplitTruth(describe(dataset), tuple(classes), paths, target, difficult, areas)


def read_predictions(path: str | Path, truth: SplitTruth, topk: int | None = None) -> Tensor:
    """The label set predicted for each image of the split.

    Args:
        path: A pickle of N dicts, as ``tools/test.py --out`` writes it. No code in it is run.
        truth: The split. Where the file has image paths or true labels, they must be the split's.
        topk: None for ``pred_label``; a number for as many best classes of ``pred_score``.

    Returns:
        BoolTensor (N, C).

    Raises:
        UsageError: If the file can't be read or is not of this split; names the first difference.
    """
    content = load_plain_pickle(path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise UsageError(
            f'{path} holds a {type(content).__name__}, not a list of predictions: write it with '
            'tools/test.py CONFIG CHECKPOINT --out FILE.pkl, without --out-item metrics'
        )
    if len(content) != len(truth.paths):
        raise UsageError(
            f'{path} has {len(content)} images, {truth.name} has {len(truth.paths)}: give the '
            'config that the file was written with'
        )
    _check_images(path, content, truth)
    num_classes, key = len(truth.classes), 'pred_label' if topk is None else 'pred_score'
    chosen = []
    for number, one in enumerate(content):
        if one.get(key) is None:
            other = 'give --topk K' if topk is None else 'leave --topk out'
            raise UsageError(f'{path}: image {number} has no {key}: {other}')
        values = torch.as_tensor(one[key]).flatten()
        if topk is not None:
            if len(values) != num_classes:
                raise UsageError(
                    f'{path}: image {number} has {len(values)} scores, {truth.name} has '
                    f'{num_classes} classes: give the config that the file was written with'
                )
            values = topk_labels(values, topk)
        chosen.append(values)
    try:
        return labels_to_sets(chosen, num_classes)
    except UsageError:
        raise UsageError(
            f'{path} predicts labels outside the {num_classes} classes of {truth.name}: give the '
            'config that the file was written with'
        ) from None


def _check_images(path: str | Path, content: list[dict], truth: SplitTruth) -> None:
    """Name the first image that is another one, or whose true labels are others."""
    for number, one in enumerate(content):
        ours, theirs = truth.paths[number], one.get('img_path')
        if theirs is not None and os.path.normpath(theirs) != os.path.normpath(ours):
            raise UsageError(
                f'{path}: image {number} is {theirs}, that of {truth.name} is {ours}: give the '
                'config that the file was written with, or its data_root with --cfg-options'
            )
        if one.get('gt_label') is not None:
            labels = set(torch.as_tensor(one['gt_label']).flatten().tolist())
            if labels != set(truth.target[number].nonzero().flatten().tolist()):
                raise UsageError(
                    f'{path}: the true labels of image {number} ({ours}) are {sorted(labels)}, '
                    f'those of {truth.name} are '
                    f'{truth.target[number].nonzero().flatten().tolist()}: test the checkpoint '
                    'again with the annotations of today'
                )


def _check_areas(areas: dict, path: str) -> dict[int, float]:
    """The areas with integer keys, which JSON does not have."""
    checked = {}
    for label, area in areas.items():
        if not 0 < float(area) <= 1:
            raise UsageError(
                f'gt_area of label {label} of image {path} is {area}, not a share of the image in '
                '(0, 1]: correct the annotation'
            )
        checked[int(label)] = float(area)
    return checked
