# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether a module's output can be kept: nothing of it trains, and which weights it has."""

import hashlib

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..errors import UsageError

__all__ = ['check_constant', 'is_constant', 'weights_digest']

REMEDY = "freeze all of it with dict(type='cnnrnn_mm.Frozen', module=...)"
#: Attributes that hold a probability in drop-path and drop-block layers of the host and others.
PROBABILITIES = ('p', 'drop_prob', 'prob', 'drop_rate')


def check_constant(name: str, module: nn.Module | None) -> None:
    """Raise ``UsageError`` unless a training leaves what ``module`` computes as it is.

    The module is put into training mode on the way.

    Args:
        name: What it is called in the model, such as ``'backbone'``.
        module: A backbone or neck, or None.
    """
    if module is None:
        return
    module.train(True)  # some of the host's backbones freeze their stages here
    for part, weight in module.named_parameters():
        if weight.requires_grad:
            raise UsageError(f'{name}.{part} is trained, so its features do not stay: {REMEDY}')
    for part, one in module.named_modules():
        where = f'{name}.{part}'.rstrip('.')
        if not one.training:
            continue
        if isinstance(one, _NormBase) and one.track_running_stats:
            raise UsageError(f'the statistics of {where} change in training: {REMEDY}')
        drops = isinstance(one, _DropoutNd) or 'Drop' in type(one).__name__
        if drops and any(getattr(one, key, 0) for key in PROBABILITIES):
            raise UsageError(f'{where} drops values at random in training: {REMEDY}')


def is_constant(module: nn.Module | None) -> bool:
    """Whether what ``module`` computes can be kept.

    It can where a training leaves it as it is (:func:`check_constant`), unless the module says
    ``runs_on_features = True``: what it computes is then more than features.
    """
    if getattr(module, 'runs_on_features', False):
        return False
    try:
        check_constant('module', module)
    except UsageError:
        return False
    return True


def weights_digest(module: nn.Module | None) -> str:
    """16 hexadecimal digits of SHA-256 over names, types, shapes and values of the state dict.

    Counters of batches are left out, since they change no output; so are the layout in memory and
    the device.
    """
    found = hashlib.sha256()
    state = {} if module is None else module.state_dict()
    for name in sorted(state):
        value = state[name]
        if not isinstance(value, torch.Tensor) or name.endswith('num_batches_tracked'):
            continue
        found.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        found.update(plain.view(torch.uint8).numpy().data if plain.numel() else b'')
    return found.hexdigest()[:16]
