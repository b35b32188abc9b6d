# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A checkpoint as a model that is ready to predict.

Axis letters: C labels.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from ..datasets.label_checks import check_class_names
from ..engine.hooks.label_order_hook import tell_heads
from ..errors import UsageError
from .cached_config import IMAGES
from .checkpoints import check_checkpoint
from .config_files import read_config
from .dataset_configs import leaves, pipeline_of, type_name
from .fingerprint import FEATURE_TYPES, preprocessor_of
from .literal_config import read_literal_config
from .registered_types import check_registered_types

__all__ = ['TrainedModel', 'load_trained_model']

#: Of a checkpoint's own config, what is built or asked for its type.
BUILT = ('model', 'data_preprocessor', IMAGES, 'test_dataloader', 'val_dataloader')


@dataclass(frozen=True)
class TrainedModel:
    """A model with trained weights, in evaluation mode, and what it needs to read photos.

    Attributes:
        model: Takes images: backbone, neck, head and data preprocessor.
        classes: (C,) names, by class id.
        pipeline: Configs of the test pipeline's transforms.
        cfg: The run's config.
        checkpoint: Where the weights come from.
    """

    model: BaseModel
    classes: tuple[str, ...]
    pipeline: list[dict]
    cfg: Config
    checkpoint: str


def load_trained_model(
    checkpoint: str | Path,
    config: str | Path | Config | None = None,
    device: str | torch.device | None = None,
    classes: Sequence[str] | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> TrainedModel:
    """Build a checkpoint's model on images, with all its weights, its classes and label order.

    Args:
        checkpoint: Path or ``https://`` address of a file that holds tensors and plain types.
        config: The run's config, or its path; None for the one inside the checkpoint, which is
            read as plain values and never run.
        device: Where the model goes; None for the accelerator, where there is one.
        classes: Names by class id; None for those of the checkpoint, else of the config.
        cfg_options: Entries of the config to override, by dotted key.

    Raises:
        UsageError: If the checkpoint, its config or its classes are missing, damaged or do not fit
            each other; names what and the remedy.
    """
    content = _read(str(checkpoint))
    meta = content.get('meta') or {}
    cfg = _on_images(_config(config, meta, str(checkpoint)), str(checkpoint))
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmpretrain')
    model = _build(cfg)
    if hasattr(getattr(model, 'head', None), 'task_heads'):
        raise UsageError(
            f'{checkpoint} is a model of several tasks, which tools/test.py runs: take one of a '
            'single task here'
        )
    _load(model, content.get('state_dict', content), str(checkpoint))
    tell_heads(model, meta.get('label_order') or {})
    names = _classes(classes, meta, cfg, model, str(checkpoint))
    try:
        model = model.to(get_device() if device is None else device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise UsageError(f'device {device} can not be used ({line}): take another one') from None
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if loader is None:
        raise UsageError(
            'the config has neither test_dataloader nor val_dataloader, so it does not say how '
            'photos are read: add one'
        )
    return TrainedModel(model.eval(), names, pipeline_of(loader.dataset), cfg, str(checkpoint))


def _read(checkpoint: str) -> dict:
    if '://' not in checkpoint:
        check_checkpoint(checkpoint)
        return torch.load(checkpoint, map_location='cpu', weights_only=True)
    # torch.hub would keep it under the last part of the address, which others may have, too.
    name = f'{hashlib.sha256(checkpoint.encode()).hexdigest()[:16]}.pth'
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(checkpoint, str(path), progress=False)
    except (URLError, OSError, ValueError) as error:
        raise UsageError(
            f'checkpoint {checkpoint} can not be fetched ({error}): check the address, or fetch '
            'the file and give its path'
        ) from None
    try:
        return _read(str(path))
    except UsageError as error:
        path.unlink(missing_ok=True)  # so that the next call fetches it anew
        raise UsageError(f'{checkpoint}: {error}') from None


def _config(config: str | Path | Config | None, meta: dict, checkpoint: str) -> Config:
    if isinstance(config, Config):
        return copy.deepcopy(config)
    if config is not None:
        return read_config(config)
    text = meta.get('cfg')
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f'checkpoint {checkpoint} holds no config: give one with --config')
    cfg = read_literal_config(text, checkpoint)
    # What is built or looked up of it: the rest of a run's config is left alone.
    parts = [cfg.get(key) for key in BUILT]
    check_registered_types([*parts, {'_scope_': cfg.get('default_scope')}], checkpoint)
    return cfg


def _on_images(cfg: Config, checkpoint: str) -> Config:
    """Undo ``use_cached_features`` as far as the model goes."""
    if not isinstance(cfg.get('model'), dict):
        raise UsageError(f'the config of {checkpoint} has no model: give one with --config')
    if type_name(cfg.model) in FEATURE_TYPES.values():
        if cfg.get(IMAGES) is None:
            raise UsageError(
                f'{checkpoint} was trained on cached features, and the config inside does not say '
                'how images are read: give the config file with --config'
            )
        cfg.merge_from_dict(dict(model=dict(cfg[IMAGES].model, _delete_=True)))
        cfg.data_preprocessor = cfg[IMAGES].data_preprocessor
    return cfg


def _build(cfg: Config) -> BaseModel:
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg['data_preprocessor'] = copy.deepcopy(preprocessor_of(cfg))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
        return MODELS.build(model_cfg)


def _load(model: BaseModel, weights: dict, checkpoint: str) -> None:
    """Load all weights; those that are missing would stay random, unnoticed."""
    weights = {name.removeprefix('module.'): value for name, value in weights.items()}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in shapes.items():
        if name not in weights:
            missing = sum(one not in weights for one in shapes)
            raise UsageError(
                f'checkpoint {checkpoint} lacks {missing} of the {len(shapes)} tensors of the '
                f'model, {name} first: it belongs to another config or was saved without its '
                'backbone'
            )
        if tuple(getattr(weights[name], 'shape', ())) != shape:
            raise UsageError(
                f'checkpoint {checkpoint} has {name} of shape {tuple(weights[name].shape)}, the '
                f'config makes it {shape}: it belongs to another config'
            )
    odd = [name for name in weights if name not in shapes]
    if odd:
        raise UsageError(
            f'checkpoint {checkpoint} holds {len(odd)} tensors that the model lacks, {odd[0]} '
            'first: it belongs to another config'
        )
    model.load_state_dict(weights)


def _classes(
    given: Sequence[str] | None, meta: dict, cfg: Config, model: BaseModel, checkpoint: str
) -> tuple[str, ...]:
    """The class names, which have to be as many as the head has classes."""
    own = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
    config = _config_classes(cfg)
    if given is None and own and config and tuple(own) != config:
        pairs = zip([*own, *[None] * len(config)], [*config, *[None] * len(own)], strict=False)
        place, (left, right) = next((k, two) for k, two in enumerate(pairs) if two[0] != two[1])
        raise UsageError(
            f'the classes of {checkpoint} differ from those of the config: class {place} is '
            f'{left!r} there and {right!r} here: give the config that it was trained with'
        )
    names = given or own or config
    if given:
        check_class_names(given, 'class list')
    if not names:
        raise UsageError(
            f'neither {checkpoint} nor its config names the classes: give a file with one name a '
            'line with --classes'
        )
    count = getattr(getattr(model, 'head', None), 'num_classes', None)
    if count is not None and count != len(names):
        raise UsageError(
            f'there are {len(names)} class names, but the head has {count} classes: give one name '
            'for each'
        )
    return tuple(str(name) for name in names)


def _config_classes(cfg: Config) -> tuple[str, ...] | None:
    """What the test dataset's ``metainfo`` or its class says."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if loader is None:
        return None
    leaf = next(leaves(loader.dataset))
    while 'dataset' in leaf:
        leaf = leaf['dataset']
    names = (leaf.get('metainfo') or {}).get('classes', leaf.get('classes'))
    if names is None and isinstance(leaf.get('type'), str):
        kind = DATASETS.get(leaf['type'])
        names = (getattr(kind, 'METAINFO', None) or {}).get('classes')
    return tuple(names) if isinstance(names, (list, tuple)) else None
