# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The model of a config, as far as its features are concerned.

Axis letters: N images of a batch, F image feature size.
"""

import copy

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.runner import load_checkpoint, set_random_seed
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..errors import UsageError
from ..models.constant_features import check_constant, is_constant
from .checkpoints import check_checkpoint
from .fingerprint import preprocessor_of

__all__ = ['build_feature_model', 'check_training_mode', 'compute_features']


def build_feature_model(cfg: Config, checkpoint: str | None) -> nn.Module:
    """The config's model with its weights, in evaluation mode, on the device.

    Args:
        cfg: A run's config.
        checkpoint: Weights; None for what ``init_cfg`` and the config's seed give.

    Raises:
        UsageError: If the backbone is not frozen, or the checkpoint is another model's.
    """
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg['data_preprocessor'] = copy.deepcopy(preprocessor_of(cfg))
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        set_random_seed(seed)  # weights that no file gives are those of the run
    model = MODELS.build(model_cfg)
    if checkpoint is None:
        model.init_weights()
    check_constant('backbone', model.backbone)
    if not is_constant(model.neck):
        model.neck = None  # features are what stays: a neck that trains reads them
    if checkpoint is not None:
        loaded = load_checkpoint(model, checkpoint, map_location='cpu')
        _check_fit(model, loaded.get('state_dict', loaded), checkpoint)
    return model.to(get_device()).eval()


def _check_fit(model: nn.Module, weights: dict, checkpoint: str) -> None:
    """Weights that a checkpoint lacks would stay random, and their features look like others."""
    given = {name.removeprefix('module.'): value for name, value in weights.items()}
    for name, value in model.state_dict().items():
        if name.startswith('head.'):  # and a neck that trains is no part of the model here
            continue
        if name not in given or given[name].shape != value.shape:
            raise UsageError(
                f"checkpoint {checkpoint} has no weights for the model's {name} of shape "
                f'{tuple(value.shape)}: it belongs to another model'
            )


@torch.no_grad()
def compute_features(model: BaseModel, inputs: Tensor) -> Tensor:
    """Features (N, F) or maps (N, F, h, w) of a batch, on the CPU."""
    images = model.data_preprocessor(dict(inputs=inputs), training=False)['inputs']
    stages = model.extract_feat(images, stage='neck')
    stages = stages if isinstance(stages, (tuple, list)) else (stages,)
    if len(stages) != 1 or not isinstance(stages[0], Tensor):
        kinds = ', '.join(type(one).__name__ for one in stages)
        raise UsageError(
            f'backbone and neck give {len(stages)} stages ({kinds}): a cache keeps one, so set '
            'out_indices to the last stage (and out_type to one kind)'
        )
    return stages[0].float().cpu().contiguous()


def check_training_mode(model: nn.Module, inputs: Tensor) -> None:
    """Raise ``UsageError`` if backbone and neck do something else while training."""
    quiet = compute_features(model, inputs)
    model.train()
    trained = compute_features(model, inputs)
    model.eval()
    little = 1e-4 * float(quiet.abs().nan_to_num(0.0).max())
    if not torch.allclose(quiet, trained, rtol=1e-4, atol=little, equal_nan=True):
        raise UsageError(
            'backbone and neck give other features in training mode than in test mode: freeze all '
            "of them with dict(type='cnnrnn_mm.Frozen', module=...)"
        )
