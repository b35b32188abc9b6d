# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What an inferencer is made from, as a model that knows its config and its classes."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmpretrain import get_model
from mmpretrain.apis import ModelHub

from ..errors import UsageError
from .config_files import read_config
from .trained_model import TrainedModel, load_trained_model

__all__ = ['mark_model', 'resolve_model']


def resolve_model(
    model: BaseModel | str | Path | Config,
    pretrained: bool | str | Path = True,
    device: str | torch.device | None = None,
    classes: Sequence[str] | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> BaseModel:
    """A model with ``_config`` and ``_dataset_meta``, as the host's ``get_model`` leaves them.

    Args:
        model: A built model, the name of one (``list_models()``), a config or its path.
        pretrained: Path or address of the checkpoint; True for that of the named model, or the
            config's ``load_from``; False for no weights (of a built model: its own).
        device: Where it goes; None for the accelerator, where there is one, or where it is.
        classes: Names by class id; None for those of the checkpoint, else of the config.
        cfg_options: Entries of the config to override, by dotted key.

    Raises:
        UsageError: If something of it is missing or does not fit.
    """
    path = str(pretrained) if isinstance(pretrained, (str, PathLike)) else None
    if isinstance(model, BaseModel):
        return _built(model, path, device, classes, cfg_options)
    if isinstance(model, (str, PathLike)):
        cfg, own = _named(str(model))
    elif isinstance(model, Config):
        cfg, own = model, model.get('load_from')
    else:
        raise UsageError(
            f'model is a {type(model).__name__}: give a model name, a config, its path or a built '
            'model'
        )
    if pretrained is True:
        path = own
    if path is not None:
        return mark_model(load_trained_model(path, cfg, device, classes, cfg_options))
    if pretrained:
        raise UsageError(
            f'nothing says where the weights of {_name(model)} are: give the checkpoint as '
            'pretrained, or use MultiLabelInferencer.from_checkpoint'
        )
    return _untrained(cfg, device, classes, cfg_options)


def mark_model(trained: TrainedModel) -> BaseModel:
    """Let a loaded model know what the host's inferencers ask it for."""
    trained.model._config = trained.cfg
    trained.model._dataset_meta = {'classes': trained.classes}
    trained.model._metainfo = None
    return trained.model


def _named(model: str) -> tuple[Config, str | None]:
    """Config and weights of a config's path or a model's name."""
    if Path(model).suffix in ('.pth', '.pt'):
        raise UsageError(
            f'{model} is a checkpoint: use MultiLabelInferencer.from_checkpoint({model!r})'
        )
    if Path(model).suffix == '.py':
        cfg = read_config(model)
        return cfg, cfg.get('load_from')
    try:
        info = ModelHub.get(model)
    except ValueError:
        raise UsageError(
            f'model {model!r} is neither a config (.py) nor a name that list_models() has: check it'
        ) from None
    return info.config, info.weights


def _built(
    model: BaseModel,
    path: str | None,
    device: str | torch.device | None,
    classes: Sequence[str] | None,
    cfg_options: dict[str, Any] | None,
) -> BaseModel:
    if path is not None or cfg_options:
        raise UsageError(
            'a built model has its weights and its config: give a config and the checkpoint instead'
        )
    if getattr(model, '_config', None) is None:
        raise UsageError(
            'the model does not know its config (get_model sets it): give the config and the '
            'checkpoint instead'
        )
    names = classes or (getattr(model, '_dataset_meta', None) or {}).get('classes')
    _set_classes(model, names)
    init_default_scope(model._config.get('default_scope') or 'mmpretrain')
    return model if device is None else model.to(device)


def _untrained(
    cfg: Config,
    device: str | torch.device | None,
    classes: Sequence[str] | None,
    cfg_options: dict[str, Any] | None,
) -> BaseModel:
    cfg = cfg.copy()
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmpretrain')
    model = get_model(cfg, pretrained=False, device=device)
    _set_classes(model, classes or (model._dataset_meta or {}).get('classes'))
    return model


def _set_classes(model: BaseModel, names: Sequence[str] | None) -> None:
    count = getattr(getattr(model, 'head', None), 'num_classes', None)
    if not names:
        raise UsageError('nothing names the classes: give their names as classes')
    if count is not None and count != len(names):
        raise UsageError(
            f'there are {len(names)} class names, but the head has {count} classes: give one name '
            'for each'
        )
    model._dataset_meta = {'classes': tuple(map(str, names))}


def _name(model: object) -> str:
    return str(model) if isinstance(model, (str, PathLike)) else 'the config'
