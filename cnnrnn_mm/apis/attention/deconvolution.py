# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Deconvolution of the score of a step.

Axis letters: R rows (one a step), H, W sides of the input.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from .grad_cam import import_captum
from .step_score import StepScore
from .target_layers import tapped

__all__ = ['check_rectified', 'deconvolution']

#: Activations whose way back the rule of Zeiler and Fergus says nothing about, by class name.
OTHERS = frozenset(
    (
        *('CELU', 'ELU', 'GELU', 'GLU', 'HSwish', 'Hardswish', 'LeakyReLU', 'Mish', 'PReLU'),
        *('QuickGELU', 'RReLU', 'SELU', 'SiLU', 'Softplus', 'Softsign', 'StarReLU', 'Swish'),
        *('SwiGLUFFN', 'SwiGLUFFNFused'),
    )
)


class _ReLU6(nn.ReLU):
    """ReLU6 that captum takes for a ReLU."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu6(inputs)


class _Contributions(nn.Module):
    """A scalar a row whose gradient at a layer's map is what each unit there adds to the score."""

    def __init__(self, score: StepScore, layer: nn.Module) -> None:
        super().__init__()
        self.score, self.layer = score, layer
        self.model = score.model

    def forward(self, inputs: Tensor, steps: Tensor) -> Tensor:
        kept: list[Tensor] = []
        size = (inputs.shape[-2], inputs.shape[-1])
        with tapped(self.model, self.layer, size) as tap:
            tap.register_forward_hook(lambda *args: kept.append(args[2]))
            scores = self.score(inputs, steps)
        (maps,) = kept
        (gradient,) = torch.autograd.grad(scores.sum(), maps, retain_graph=True)
        return ((gradient * maps).relu().detach() * maps).flatten(1).sum(1)


def deconvolution(score: StepScore, inputs: Tensor, steps: Tensor, layer: nn.Module) -> Tensor:
    """The deconvolutional network of Zeiler and Fergus, ECCV 2014, section 2.1.

    What each unit of the last map adds to the score (its value times the score's gradient there,
    where that is positive) is sent back to the pixels through the transposed layers; at each ReLU
    layer, those between map and score included, what comes back is rectified, whatever went forward
    there. Max pooling sends it back
    to the places of the maxima, and other layers do as gradients do. Through captum's
    ``Deconvolution``; a ReLU6 is a ReLU on the way back.

    The rule alone, with the gradient as the signal, sends nearly the same back for all photos where
    there is little max pooling: nothing else on the way depends on the photo. What a unit adds
    does, and it is what Zeiler and Fergus start from, too: the activation of a unit.

    Args:
        score: The score.
        inputs: (R, 3, H, W).
        steps: (R,) int64, which step each row is asked for.
        layer: Whose map it is.

    Returns:
        (R, H, W), at least 0: the largest absolute value among the colour channels.

    Raises:
        UsageError: If backbone or neck have other activations than ReLU.
    """
    attr = import_captum()
    check_rectified(score.model)
    contributions = _Contributions(score, layer)
    with _plain_relus(score.model), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # captum announces its hooks
        signal = attr.Deconvolution(contributions).attribute(
            inputs.clone(), additional_forward_args=(steps,)
        )
    return signal.detach().abs().amax(1)


def check_rectified(model: BaseModel) -> None:
    """Refuse a model for which the rule is not defined."""
    parts = [part for part in (model.backbone, getattr(model, 'neck', None)) if part is not None]
    found = [module for part in parts for module in part.modules()]
    odd = sorted({type(module).__name__ for module in found} & OTHERS)
    if odd or not any(isinstance(module, (nn.ReLU, nn.ReLU6)) for module in found):
        has = f'has {", ".join(odd)}' if odd else 'has no ReLU layers'
        raise UsageError(
            f'deconvolution is a rule for ReLU, and {type(model.backbone).__name__} {has}: take '
            'grad_cam'
        )


@contextmanager
def _plain_relus(model: nn.Module) -> Iterator[None]:
    """Let captum find the ReLU6 of a model, too."""
    changed = []
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU6):
                changed.append((parent, name, child))
                setattr(parent, name, _ReLU6())
    try:
        yield
    finally:
        for parent, name, child in changed:
            setattr(parent, name, child)
