# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What cached features depend on, by named parts, and how two makes differ."""

import copy
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from ..errors import UsageError
from ..models.constant_features import is_constant
from .dataset_configs import pipeline_of, split_pipeline, type_name

__all__ = ['FEATURE_TYPES', 'config_parts', 'digest', 'find_difference', 'preprocessor_of']

#: What a classifier becomes on cached features, by the name of its type.
FEATURE_TYPES = {
    'ImageClassifier': 'FeatureClassifier',
    'RegionClassifier': 'FeatureRegionClassifier',
}
#: Written by init_cfg or the command line, and seen in the weights themselves.
NOT_IN_VALUES = ('init_cfg', '_scope_')
#: Arguments of ClsDataPreprocessor that change no pixel.
NOT_IN_PIXELS = ('num_classes', 'to_onehot', 'batch_augments')
NOTHING = 'nothing'


def config_parts(cfg: Config, split: str, copies: int = 0, seed: int = 0) -> dict[str, Any]:
    """The parts that the config decides, in plain types.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        copies: Augmented copies of each image, through the training pipeline.
        seed: Of their random draws.

    Returns:
        ``backbone``, ``neck`` (None for one that trains), ``data_preprocessor``, ``pipeline`` (of
        the plain view) and ``augmentation`` (None without copies). Paths of weights and arguments
        that change no pixel are left out.

    Raises:
        UsageError: If the config lacks a pipeline, or has a model whose features can't be kept.
    """
    kind = type_name(cfg.model)
    if kind not in FEATURE_TYPES and kind not in FEATURE_TYPES.values():
        raise UsageError(
            f'the model is a {kind}: features can be kept for {" and ".join(FEATURE_TYPES)}'
        )
    preprocessor = {'type': 'ClsDataPreprocessor', **preprocessor_of(cfg)}
    kept = {key: value for key, value in preprocessor.items() if key not in NOT_IN_PIXELS}
    augmentation = None
    if copies:
        transforms = split_pipeline(pipeline_of(cfg.train_dataloader.dataset), 'training')[0]
        augmentation = {'copies': copies, 'seed': seed, 'pipeline': _plain(transforms)}
    return {
        'backbone': _plain(cfg.model.backbone),
        'neck': _plain(_kept_neck(cfg.model.get('neck'))),
        'data_preprocessor': _plain(kept),
        'pipeline': _plain(split_pipeline(plain_pipeline(cfg, split), f'the {split} split')[0]),
        'augmentation': augmentation,
    }


def _kept_neck(neck: dict | None) -> dict | None:
    """The neck's config, if training leaves it as it is."""
    if neck is None:
        return None
    with torch.device('meta'):  # nothing is allocated
        return neck if is_constant(MODELS.build(copy.deepcopy(neck))) else None


def preprocessor_of(cfg: Config) -> dict:
    """The config of the data preprocessor, as the host's Runner finds it."""
    return cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def plain_pipeline(cfg: Config, split: str) -> list[dict]:
    """The pipeline that makes no random change: the split's own; in training that of the test.

    Raises:
        UsageError: If there is none.
    """
    names = ('test', 'val') if split == 'train' else (split,)
    for name in names:
        loader = cfg.get(f'{name}_dataloader')
        if loader is not None:
            return pipeline_of(loader.dataset)
    raise UsageError(
        'the config has neither test_dataloader nor val_dataloader: add one, for its pipeline, '
        'which changes no image at random'
    )


def digest(parts: Any) -> str:
    """16 hexadecimal digits of SHA-256 over plain types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def find_difference(cached: dict, ours: dict, names: Iterable[str]) -> tuple[str, str] | None:
    """How the first of the named parts differs: what the cache has, what the config has."""
    for name in names:
        pair = cached.get(name), ours.get(name)
        if pair[0] != pair[1]:
            return _differ(name, *pair)
    return None


def _differ(name: str, cached: Any, ours: Any) -> tuple[str, str]:
    """The innermost place where two values of plain types differ, in words."""
    if isinstance(cached, dict) and isinstance(ours, dict):
        for key in sorted({*cached, *ours}):
            pair = cached.get(key), ours.get(key)
            if pair[0] == pair[1]:
                continue
            if key == 'pipeline' or all(isinstance(one, dict) for one in pair):
                return _differ(f'{name}.{key}', *pair)
            if cached.get('type') == ours.get('type'):
                return f'{name}.{key}={_show(pair[0])}', f'{name}.{key}={_show(pair[1])}'
            break
        return f'{name} {_show(cached)}', f'{name} {_show(ours)}'
    if all(isinstance(one, list) and isinstance((one or [{}])[0], dict) for one in (cached, ours)):
        return _differ_in_pipeline(cached, ours)
    return f'{name} {_show(cached)}', f'{name} {_show(ours)}'


def _differ_in_pipeline(cached: list[dict], ours: list[dict]) -> tuple[str, str]:
    longest = max(len(cached), len(ours))
    for place in range(longest):
        left, right = (one[place] if place < len(one) else None for one in (cached, ours))
        if left == right:
            continue
        if left is not None and right is not None and left['type'] == right['type']:
            keys = sorted(key for key in {*left, *right} if left.get(key) != right.get(key))
            left, right = (
                {'type': one['type'], **{key: one.get(key) for key in keys}}
                for one in (left, right)
            )
        return _show(left), _show(right)
    raise AssertionError('the pipelines are equal')


def _show(value: Any) -> str:
    """A value as a config would have it, on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, dict) and 'type' in value:
        shown = (f'{key}={_show(one)}' for key, one in value.items() if key != 'type')
        return f'{value["type"]}({", ".join(shown)})'
    if isinstance(value, list):
        return f'[{", ".join(map(_show, value))}]'
    return repr(value)


def _plain(value: Any) -> Any:
    """A copy in types that JSON has; types without their scope."""
    if isinstance(value, dict):
        found = {str(key): _plain(one) for key, one in value.items() if key not in NOT_IN_VALUES}
        if 'type' in value:
            found['type'] = type_name(value)
        return found
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, '__name__', None) or repr(value)
