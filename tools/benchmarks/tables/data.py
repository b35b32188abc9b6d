# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a config trains and evaluates on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from cnnrnn_mm.apis.fingerprint import digest
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.datasets.cached_features import read_meta
from cnnrnn_mm.errors import UsageError

__all__ = ['Data', 'describe_data', 'describe_split', 'make_of', 'split_of']


@dataclass(frozen=True)
class Data:
    """What a config trains and evaluates on.

    Attributes:
        split: The one that is evaluated.
        classes: C class names.
        train: Name, number of images and digest of paths and labels.
        evaluated: The same of the split.
    """

    split: str
    classes: list[str]
    train: dict[str, Any]
    evaluated: dict[str, Any]


def split_of(cfg: Config, name: str, split: str | None) -> str:
    """The split to evaluate: the one asked for, or val, or test where there is no val.

    Raises:
        UsageError: If the config does not have it.
    """
    there = [one for one in ('val', 'test') if cfg.get(f'{one}_dataloader') is not None]
    if split is not None and split not in there or not there:
        has = ' and '.join(there) if there else 'neither val nor test'
        raise UsageError(f'{name} has no {split or "split to evaluate"}: it has {has}')
    return there[0] if split is None else split


def describe_data(cfg: Config, split: str) -> Data:
    """Read the label lists of both splits."""
    train, _ = describe_split(cfg, 'train')
    evaluated, classes = describe_split(cfg, split)
    if classes is None:
        raise UsageError(f'{evaluated["name"]} has no class names: give metainfo=dict(classes=...)')
    return Data(split, classes, train, evaluated)


def describe_split(cfg: Config, split: str) -> tuple[dict[str, Any], list[str] | None]:
    """Name, number of images and digest of a split, and its class names."""
    dataset = build_split_dataset(cfg, split)
    labels, paths = read_labels(dataset)
    content = [[path, label.tolist()] for path, label in zip(paths, labels, strict=True)]
    facts = dict(name=describe(dataset), images=len(paths), digest=digest(content))
    return facts, class_names(dataset)


def make_of(features: str | None, split: str) -> dict | None:
    """What a split's cached features were made from."""
    if features is None or not (Path(features) / split).is_dir():  # test on the features of val
        return None
    return read_meta(Path(features) / split)['fingerprint']
