# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a backbone has to do in front of a head of ours.

Axis letters: N images, C labels, F image feature size.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from .family import Family, Form

__all__ = ['HEADS', 'Outcome', 'check_backbone', 'check_family', 'describe']

LABELS = [[0], [3, 1], [2, 4, 0]]  # of N images
CLASSES = 5
SMALL = dict(num_classes=CLASSES, embed_dims=8, hidden_dims=8)
#: Parts of a model behind the backbone, given F.
HEADS: dict[str, Callable[[int], dict[str, Any]]] = {
    'CNNRNNHead': lambda channels: dict(
        head=dict(type='cnnrnn_mm.CNNRNNHead', in_channels=channels, **SMALL)
    ),
    'RLSDHead': lambda channels: dict(
        neck=dict(
            type='cnnrnn_mm.RegionLocalizationNeck',
            in_channels=channels,
            proposals=dict(type='GridProposals'),
            num_regions=4,
            sample_size=2,
        ),
        head=dict(type='cnnrnn_mm.RLSDHead', in_channels=channels, **SMALL),
    ),
}
#: Of an image's feature alone and in its batch, relative to the largest value.
TOLERANCE = 1e-3
HOST, OURS = '/mmpretrain/', '/cnnrnn_mm/'


@dataclass(frozen=True)
class Outcome:
    """How one backbone did with one head.

    Attributes:
        head: One of :data:`HEADS`.
        options: Of the form, added to the family's.
        channels: F that was set.
        features: What the backbone gave, such as ``'map 512 x 2 x 2'``; empty where it gave none.
        idle: Parameter tensors of the backbone that got no gradient.
        error: Empty where everything worked; else stage, error and its first line.
        where: The file of the host or of this project that the error comes from.
    """

    head: str
    options: Mapping[str, Any]
    channels: int
    features: str = ''
    idle: int = 0
    error: str = ''
    where: str = ''

    @property
    def works(self) -> bool:
        """Whether all of it went well."""
        return not self.error


def check_family(name: str, family: Family) -> list[Outcome]:
    """The class's default and its other forms with CNNRNNHead, then its map with RLSDHead."""
    outcomes = [
        check_backbone(name, family, form, 'CNNRNNHead')
        for form in (Form(family.channels), *family.forms)
    ]
    if family.map is not None:
        outcomes.append(check_backbone(name, family, family.map, 'RLSDHead'))
    return outcomes


def check_backbone(name: str, family: Family, form: Form, head: str) -> Outcome:
    """Build, loss, backward and predict, from random weights and images.

    Errors end up in the outcome. It sets the seed of its process.
    """
    torch.manual_seed(0)
    given = dict(head=head, options=form.options, channels=form.channels)
    stage, found = 'build', {}
    try:
        backbone = dict(type=name, **{**family.options, **form.options})
        parts = HEADS[head](form.channels)
        model = dict(type='ImageClassifier', _scope_='mmpretrain', backbone=backbone, **parts)
        model = MODELS.build(model)
        model.init_weights()
        images = torch.randn(len(LABELS), family.colours, family.size, family.size)
        stage = 'loss'
        model.train()
        model.backbone.register_forward_hook(
            lambda _, __, feats: found.update(features=describe(feats))
        )
        loss = sum(model.loss(images, _samples()).values())
        _require(bool(loss.isfinite()), f'the loss is {loss.item()}')
        stage = 'backward'
        loss.backward()
        found['idle'] = _check_gradients(model.backbone)
        stage = 'predict'
        _check_predictions(model.eval(), images)
    except Exception as error:  # noqa: BLE001 - whatever the host raises is a cell of the table
        line = (str(error).strip().splitlines() or [''])[0]
        said = f'{stage}: {type(error).__name__}: {line}'.rstrip(': ')
        return Outcome(**given, **found, error=said, where=_origin(error))
    return Outcome(**given, **found)


def describe(feats: Any) -> str:
    """The form of what a backbone gives."""
    if isinstance(feats, (tuple, list)):
        stages = [one for one in feats if one is not None]
        last = stages[-1] if stages else None
        text = ' and '.join(map(describe, last)) if isinstance(last, (tuple, list)) else None
        text = describe(last) if text is None else text
        return text if len(stages) < 2 else f'{len(stages)} stages, the last a {text}'
    if not isinstance(feats, Tensor):
        return type(feats).__name__
    kind = {2: 'vector', 3: 'tokens', 4: 'map'}.get(feats.dim(), 'tensor')
    return f'{kind} {" x ".join(map(str, feats.shape[1:]))}'


def _samples() -> list[DataSample]:
    return [DataSample().set_gt_label(labels) for labels in LABELS]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ArithmeticError(message)


def _check_gradients(backbone: nn.Module) -> int:
    """All gradients are finite, and that of the first layer's weight is not zero.

    Returns:
        How many parameter tensors got none.
    """
    trained = {name: one for name, one in backbone.named_parameters() if one.requires_grad}
    for name, parameter in trained.items():
        if parameter.grad is not None:
            _require(bool(parameter.grad.isfinite().all()), f'the gradient of {name} is not finite')
    # Not simply the first parameter: that may be a class token, which a map does not depend on.
    name, first = next(
        (f'{name}.weight', layer.weight)
        for name, layer in backbone.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.weight.requires_grad
    )
    _require(first.grad is not None and bool(first.grad.any()), f'no gradient reaches {name}')
    return sum(parameter.grad is None for parameter in trained.values())


@torch.no_grad()
def _check_predictions(model: ImageClassifier, images: Tensor) -> None:
    """Each image gets a path and scores, and its feature does not depend on the batch."""
    samples = model.predict(images, [DataSample() for _ in images])
    for sample in samples:
        scores, labels = sample.pred_score, sample.pred_label.tolist()
        _require(tuple(scores.shape) == (CLASSES,), f'pred_score has shape {tuple(scores.shape)}')
        _require(bool(((scores >= 0) & (scores <= 1)).all()), f'pred_score is {scores.tolist()}')
        fits = len(set(labels)) == len(labels) and set(labels) <= set(range(CLASSES))
        _require(fits, f'pred_label is {labels}')
        if 'pred_label_regions' in sample:
            shape = tuple(sample.pred_label_regions.shape)
            _require(shape == (len(labels), 4), f'pred_label_regions has shape {shape}')
    together = model.extract_feat(images, stage='pre_logits')
    alone = model.extract_feat(images[:1], stage='pre_logits')
    apart = (together[:1] - alone).abs().max() / together.abs().max()
    _require(bool(apart < TOLERANCE), f'alone an image has another feature ({apart.item():.2g})')
    spread = (together - together[:1]).abs().max()
    _require(bool(spread > 0), 'all images have the same feature')


def _origin(error: Exception) -> str:
    """The innermost file of the host or of this project on the way to the error."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    for file in reversed(files):
        for package in (HOST, OURS):
            if package in file and '/site-packages/torch/' not in file:
                return package[1:] + file.rpartition(package)[2]
    return ''
