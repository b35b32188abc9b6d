# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A run's config, changed to train or test on cached features."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from ..datasets.cached_features import AUGMENTED, MIRRORED, read_meta, unfinished_folder
from ..errors import UsageError
from .dataset_configs import (
    map_leaves,
    pipeline_of,
    split_pipeline,
    transforms_inside,
    type_name,
)
from .features import extract_command
from .fingerprint import FEATURE_TYPES, config_parts, find_difference, preprocessor_of

__all__ = ['IMAGES', 'use_cached_features']

#: Where the changed config keeps the model and the data preprocessor that take images, for whoever
#: gets the checkpoint.
IMAGES = 'on_images'

PARTS = ('backbone', 'neck', 'data_preprocessor', 'pipeline', 'augmentation')
#: Options of a dataloader that only make sense with workers.
WORKER_OPTIONS = ('prefetch_factor', 'multiprocessing_context')


def use_cached_features(
    cfg: Config, folder: str | Path, splits: Sequence[str] = ('train', 'val')
) -> Config:
    """Replace images by features, and nothing else.

    Each dataset that reads images becomes a :class:`FeatureDataset` with the label transforms and
    the packing of its pipeline, wrappers stay; the data preprocessor leaves the inputs as they are;
    the model becomes a :class:`FeatureClassifier` with the same parts. Loading is done in the
    process itself, which for features is faster than workers are.

    Args:
        cfg: A run's config; it is not changed.
        folder: What ``tools/extract_features.py --out`` wrote.
        splits: The splits that the run needs; those that the config lacks are passed over.

    Returns:
        The changed config, which the host's own tools run, too.

    Raises:
        UsageError: If features are missing, or were made otherwise than the config says: names the
            part, both values and the command that makes them; or if the run needs images.
    """
    cfg, folder = copy.deepcopy(cfg), Path(folder)
    _refuse_what_needs_images(cfg)
    there = [name for name in splits if cfg.get(f'{name}_dataloader') is not None]
    folders = {name: _folder_of(cfg, folder, name) for name in there}
    _check_there(cfg, folder, folders)
    metas = {name: read_meta(one) for name, one in folders.items()}
    for name, meta in metas.items():
        _check_parts(cfg, folder, name, meta)
    loaders = {
        name: _feature_loader(cfg, name, folders[name], meta) for name, meta in metas.items()
    }
    first = metas[there[0]]
    weights = first['fingerprint']['weights']
    for name, meta in metas.items():
        if meta['fingerprint']['weights'] != weights or meta['shape'][2:] != first['shape'][2:]:
            raise UsageError(
                f'the features in {folders[there[0]]} and {folders[name]} were made with different '
                f'weights: make both anew with: {_command(cfg, folder, there, overwrite=True)}'
            )
    cfg[IMAGES] = ConfigDict(
        model=copy.deepcopy(cfg.model), data_preprocessor=copy.deepcopy(preprocessor_of(cfg))
    )
    kept = {key: preprocessor_of(cfg)[key] for key in _kept_options(cfg)}
    cfg.model.pop('data_preprocessor', None)
    cfg.data_preprocessor = ConfigDict(type='ClsDataPreprocessor', **kept)
    kind = type_name(cfg.model)
    cfg.model.update(
        type=f'cnnrnn_mm.{FEATURE_TYPES.get(kind, kind)}',
        features=str(folder),
        feature_shape=first['shape'][2:],
        backbone_digest=weights['backbone'],
        neck_digest=weights['neck'],
    )
    for name, loader in loaders.items():
        cfg[f'{name}_dataloader'] = loader
    return cfg


def _refuse_what_needs_images(cfg: Config) -> None:
    preprocessor = preprocessor_of(cfg)
    if type_name(preprocessor) not in ('', 'ClsDataPreprocessor'):
        raise UsageError(
            f'the data preprocessor is a {type_name(preprocessor)}: features can stand in for '
            'images with ClsDataPreprocessor alone'
        )
    augments = preprocessor.get('batch_augments') or cfg.model.get('train_cfg')
    if augments:
        raise UsageError(
            f'{augments} mixes images, which features can not follow: remove it, or train on images'
        )
    if ((cfg.get('default_hooks') or {}).get('visualization') or {}).get('enable'):
        raise UsageError('pictures need the images: switch the visualization hook off')


def _kept_options(cfg: Config) -> list[str]:
    return [key for key in ('num_classes', 'to_onehot') if key in preprocessor_of(cfg)]


def _folder_of(cfg: Config, folder: Path, split: str) -> Path:
    """A test split that is the validation split uses its features."""
    own = folder / split
    if split == 'test' and not own.exists() and not unfinished_folder(own).exists():
        val = cfg.get('val_dataloader')
        if val is not None and val.dataset == cfg.test_dataloader.dataset:
            return folder / 'val'
    return own


def _check_there(cfg: Config, folder: Path, folders: dict[str, Path]) -> None:
    """Name all missing splits and the one command that makes them."""
    missing = list(
        dict.fromkeys(
            one.name
            for one in folders.values()
            if not one.exists() and not unfinished_folder(one).exists()
        )
    )
    if missing:
        raise UsageError(
            f'no features of {" and ".join(missing)} in {folder}: make them with: '
            f'{_command(cfg, folder, missing)}'
        )


def _check_parts(cfg: Config, folder: Path, split: str, meta: dict[str, Any]) -> None:
    made = meta.get('fingerprint')
    if not made or not meta.get('shape'):
        raise UsageError(
            f'{folder / split} does not say what it was made from: make it anew with: '
            f'{_command(cfg, folder, [split], overwrite=True)}'
        )
    augmentation = made.get('augmentation') or {}
    ours = config_parts(cfg, split, augmentation.get('copies', 0), augmentation.get('seed', 0))
    found = find_difference(made, ours, PARTS)
    if found is not None:
        raise UsageError(
            f'the cache {folder / split} was made with {found[0]}, the config has {found[1]}: make '
            f'it anew with: {_command(cfg, folder, [split], meta, overwrite=True)}'
        )


def _command(
    cfg: Config,
    folder: Path,
    splits: list[str],
    meta: dict | None = None,
    overwrite: bool = False,
) -> str:
    """The command that makes the features, with mirror images where the config flips."""
    if meta is None:
        return extract_command(
            cfg, splits, folder, cfg.get('load_from'), flip=_flip_prob(cfg) > 0, overwrite=overwrite
        )
    augmentation = meta['fingerprint'].get('augmentation') or {}
    return extract_command(
        cfg,
        splits,
        folder,
        cfg.get('load_from'),
        flip=MIRRORED in meta['views'],
        copies=augmentation.get('copies', 0),
        seed=augmentation.get('seed', 0),
        overwrite=overwrite,
    )


def _flip_prob(cfg: Config) -> float:
    """How often the training pipeline mirrors an image from left to right; 0 if in another way."""
    loader = cfg.get('train_dataloader')
    pipeline = [] if loader is None else pipeline_of(loader.dataset)
    for one in (inner for outer in pipeline for inner in transforms_inside(outer)):
        simple = isinstance(one.get('prob'), (int, float))
        if type_name(one) == 'RandomFlip' and simple:
            return float(one['prob']) if one.get('direction', 'horizontal') == 'horizontal' else 0.0
    return 0.0


def _feature_loader(cfg: Config, split: str, folder: Path, meta: dict) -> ConfigDict:
    """The split's dataloader with features for images."""
    loader = cfg[f'{split}_dataloader']
    flip_prob = _flip_prob(cfg) if split == 'train' else 0.0
    pixels: list[str] = []

    def change(leaf: dict) -> dict:
        inner = leaf.get('dataset', leaf)  # of ReadableImages
        left_out, kept = split_pipeline(inner.get('pipeline', []), f'the {split} split')
        pixels.extend(type_name(one) for one in left_out)
        changed = dict(
            type='cnnrnn_mm.FeatureDataset',
            features=str(folder),
            dataset={key: value for key, value in inner.items() if key != 'pipeline'},
            pipeline=kept,
            test_mode=inner.get('test_mode', False),
            flip_prob=flip_prob,
        )
        if inner is not leaf:
            changed['unreadable'] = leaf.get('unreadable', 'skip')
        return changed

    dataset = map_leaves(loader.dataset, change)
    seen = 'one view of each image'
    if split == 'train' and MIRRORED in meta['views']:
        seen = f'mirrored with probability {flip_prob:g}'
    elif split == 'train' and AUGMENTED in meta['views']:
        seen = f'one of {meta["views"].count(AUGMENTED)} augmented copies'
    print_log(
        f'Features from {folder} ({seen}) in place of {", ".join(dict.fromkeys(pixels))}',
        logger='current',
    )
    kept = {key: value for key, value in loader.items() if key not in WORKER_OPTIONS}
    return ConfigDict({**kept, 'dataset': dataset, 'num_workers': 0, 'persistent_workers': False})
