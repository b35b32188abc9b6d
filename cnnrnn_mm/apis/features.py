# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run backbone and neck once over a split and keep what the head would see."""

import copy
import datetime
from importlib import metadata
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
from rich.progress import track
from torch import Tensor, nn

from ..datasets import CachedFeatures, load_features, save_features
from ..datasets.annotations import class_names, read_labels
from ..datasets.cached_features import check_finite
from ..errors import UsageError
from ..version import __version__
from .checkpoints import check_checkpoint
from .split_loader import build_split_loader

__all__ = ['CachedFeatures', 'extract_features', 'load_features', 'save_features']

PACKAGES = ('torch', 'mmpretrain', 'mmengine')


def extract_features(
    cfg: Config,
    split: str,
    checkpoint: str | None = None,
    flip: bool = False,
    show_progress: bool = False,
) -> CachedFeatures:
    """Compute the feature of each image of a split.

    The model is in evaluation mode, the images come in the dataset's order and through the test
    pipeline (the validation pipeline where the config has no test split), whichever split it is.
    Sampler settings of the config are not used; batch size and workers are.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        checkpoint: Weights of the model; None for those that the config's ``init_cfg`` entries
            name, such as an ImageNet backbone.
        flip: Also compute the features of the images flipped left to right behind the pipeline.
        show_progress: Show a bar.

    Returns:
        What ``head.pre_logits`` gives for each image, beside its labels.

    Raises:
        UsageError: If the config lacks the split or such a head, the checkpoint belongs to another
            model, the head's input is no vector, or a feature is not finite.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    loader = build_split_loader(cfg, split)
    labels, paths = read_labels(loader.dataset)
    model = _build_model(cfg, checkpoint)
    shown, done = [], 0
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    batches = track(loader, f'Features of {split}', total=len(loader), disable=not show_progress)
    for batch in batches:
        inputs = batch['inputs']
        for part, mirrored in zip(parts, (False, True) if flip else (False,), strict=False):
            feature, shape = _feature(model, _mirror(inputs) if mirrored else inputs)
            check_finite(feature, paths[done:])
            part.append(feature)
        shown.append(shape)
        done += len(feature)
    if done != len(labels):
        raise UsageError(
            f'the model gives {done} features for {len(labels)} images: let the test pipeline make '
            'one view of each image'
        )
    return CachedFeatures(
        features=torch.cat(parts[0]),
        labels=[one.tolist() for one in labels],
        classes=class_names(loader.dataset),
        img_paths=paths,
        flipped=torch.cat(parts[1]) if flip else None,
        meta=dict(
            config=Path(cfg.filename).name if cfg.filename else None,
            split=split,
            checkpoint=None if checkpoint is None else checkpoint.rpartition('/')[2],
            input_size=list(shown[0]) if len(set(shown)) == 1 else None,
            versions=_versions(),
            date=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        ),
    )


def _build_model(cfg: Config, checkpoint: str | None) -> nn.Module:
    """The config's model with its weights, in evaluation mode, on the device."""
    model_cfg = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:  # as the host's Runner does
        model_cfg.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    model = MODELS.build(model_cfg)
    if not hasattr(getattr(model, 'head', None), 'pre_logits'):
        head = type(getattr(model, 'head', None)).__name__
        raise UsageError(
            f"the config's model ({type(model).__name__}, head {head}) has no head.pre_logits: "
            'features can be extracted for an ImageClassifier with a head such as '
            'cnnrnn_mm.CNNRNNHead'
        )
    if checkpoint is None:
        model.init_weights()
    else:
        loaded = load_checkpoint(model, checkpoint, map_location='cpu')
        _check_fit(model, loaded.get('state_dict', loaded), checkpoint)
    return model.to(get_device()).eval()


def _check_fit(model: nn.Module, weights: dict, checkpoint: str) -> None:
    """Weights that a checkpoint lacks would stay random, and their features look like others."""
    given = {name.removeprefix('module.'): value for name, value in weights.items()}
    for name, value in model.state_dict().items():
        if name.startswith('head.'):
            continue
        if name not in given or given[name].shape != value.shape:
            raise UsageError(
                f"checkpoint {checkpoint} has no weights for the model's {name} of shape "
                f'{tuple(value.shape)}: it belongs to another model'
            )


def _mirror(inputs: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Images (..., 3, H, W), flipped left to right."""
    if not isinstance(inputs, Tensor):
        return [_mirror(one) for one in inputs]
    if inputs.dim() < 3:
        raise UsageError(
            f'inputs of shape {tuple(inputs.shape)} are no images: leave out the flipped copy'
        )
    return inputs.flip(-1)


@torch.no_grad()
def _feature(model: nn.Module, inputs: Tensor | list[Tensor]) -> tuple[Tensor, tuple[int, ...]]:
    """Features (N, F) of a batch, on the CPU, and the size (H, W) that the backbone saw."""
    images = model.data_preprocessor(dict(inputs=inputs), training=False)['inputs']
    feature = model.extract_feat(images, stage='pre_logits')
    if not isinstance(feature, Tensor) or feature.dim() != 2:
        shape = tuple(feature.shape) if isinstance(feature, Tensor) else type(feature).__name__
        raise UsageError(
            f'head.pre_logits gives features of shape {shape}, not (N, F): add a neck such as '
            'GlobalAveragePooling to the model'
        )
    return feature.float().cpu(), tuple(images.shape[2:])


def _versions() -> dict[str, str]:
    return {'cnnrnn_mm': __version__, **{name: metadata.version(name) for name in PACKAGES}}
