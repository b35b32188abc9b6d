# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Checkpoints that hold nothing but tensors and plain types."""

from enum import Enum
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from ...registry import HOOKS

__all__ = ['PlainCheckpointHook']

_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Let this run's checkpoints load under ``torch.load(..., weights_only=True)``.

    MMEngine 0.10.7 stores ``HistoryBuffer`` objects in every checkpoint, which torch >= 2.6 refuses
    by default, so that neither ``--resume`` nor a test can read the run's own files. Trusting the
    whole file instead would let it run code. Here the objects become tensors when a checkpoint is
    saved and objects again when it is loaded; whatever else is neither a tensor nor a plain type is
    converted, or left out with a warning.
    """

    # After every other hook has put in what it stores, and before any reads what was loaded.
    priority = 'LOWEST'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make the checkpoint plain, in place."""
        dropped: list[str] = []
        plain = {key: to_plain(value, key, dropped) for key, value in checkpoint.items()}
        checkpoint.clear()
        checkpoint.update(plain)
        if dropped:
            runner.logger.warning(
                'Left out of the checkpoint, since they are no plain types: %s', ', '.join(dropped)
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Bring the log histories back, in place; checkpoints of other origin stay as they are."""
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for key, value in scalars.items():
            if isinstance(value, dict) and value.keys() == {'values', 'counts', 'max_length'}:
                scalars[key] = HistoryBuffer(
                    value['values'].cpu().numpy(),
                    value['counts'].cpu().numpy(),
                    value['max_length'],
                )


def to_plain(value: Any, name: str, dropped: list[str]) -> Any:
    """A copy of ``value`` that holds only tensors and plain types.

    Args:
        value: Anything a checkpoint holds.
        name: Where it stands, for messages.
        dropped: Gets the names of what could not be converted and became None.
    """
    if isinstance(value, torch.Tensor):
        return value.data if isinstance(value, torch.nn.Parameter) else value
    if isinstance(value, _SCALARS) and type(value) in _SCALARS:
        return value
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {
            'values': torch.as_tensor(np.array(values, dtype=np.float64)),
            'counts': torch.as_tensor(np.array(counts, dtype=np.float64)),
            'max_length': value.max_length,
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {
            to_plain(key, f'{name} key', dropped): to_plain(one, f'{name}.{key}', dropped)
            for key, one in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [to_plain(one, f'{name}[{index}]', dropped) for index, one in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, Enum):
        return to_plain(value.value, name, dropped)
    for base in (int, float, str):  # subclasses of these
        if isinstance(value, base):
            return base(value)
    dropped.append(f'{name} ({type(value).__name__})')
    return None
