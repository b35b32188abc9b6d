# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Look at a checkpoint before a run is built around it."""

import pickle
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError
from .checkpoint_parts import check_checkpoint_parts

__all__ = ['check_checkpoint', 'check_pretrained']


def check_checkpoint(path: str) -> None:
    """Raise ``UsageError`` unless ``path`` is a whole checkpoint of tensors and plain types.

    Reads the file's directory and its small parts, not the weights. Addresses (``https://...``) are
    left to the host.

    Args:
        path: Path of the file.
    """
    if '://' in path:
        return
    if not Path(path).is_file():
        raise UsageError(f'checkpoint {path} does not exist: check the path')
    try:
        checkpoint = _load(path)
    except pickle.UnpicklingError as error:
        if 'Weights only load failed' in str(error) and 'GLOBAL' in str(error):
            raise UsageError(
                f'checkpoint {path} holds objects beside tensors and plain types and could run '
                'code when loaded: if you trust its origin, load it once with '
                "torch.load(path, weights_only=False) and save its 'state_dict' alone"
            ) from None
        raise UsageError(_broken(path)) from None
    except (RuntimeError, EOFError, OSError, KeyError):
        raise UsageError(_broken(path)) from None
    if not isinstance(checkpoint, dict):
        raise UsageError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, not a dict: give a file '
            'written by tools/train.py or a state dict'
        )
    check_checkpoint_parts(checkpoint, path)


def _load(path: str) -> Any:
    """Map the weights instead of reading them, where the file's format allows it."""
    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except RuntimeError as error:
        if 'mmap can only be used' not in str(error):
            raise
        return torch.load(path, map_location='cpu', weights_only=True)


def _broken(path: str) -> str:
    size = Path(path).stat().st_size
    return (
        f'checkpoint {path} ({size} bytes) is truncated or not a checkpoint: copy it again, or '
        'resume from an earlier one with --resume PATH'
    )


def check_pretrained(model: Any) -> None:
    """Look at all files that ``init_cfg=dict(type='Pretrained', checkpoint=...)`` names.

    Args:
        model: Config of a model.

    Raises:
        UsageError: As :func:`check_checkpoint`.
    """
    if isinstance(model, dict):
        if model.get('type') == 'Pretrained' and isinstance(model.get('checkpoint'), str):
            check_checkpoint(model['checkpoint'])
        for one in model.values():
            check_pretrained(one)
    elif isinstance(model, (list, tuple)):
        for one in model:
            check_pretrained(one)
