# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether the parts of a checkpoint are of the kinds that its readers take for granted."""

from typing import Any

import torch

from ..datasets.label_checks import check_class_names
from ..errors import UsageError

__all__ = ['check_checkpoint_parts']

REMEDY = 'take the file as tools/train.py wrote it'


def check_checkpoint_parts(content: dict, path: str) -> None:
    """Raise ``UsageError`` for a part that is not what training writes there.

    What is not there is passed over: whoever needs it asks for it.

    Args:
        content: What the file holds.
        path: The file, for messages.
    """
    meta = _dict(content, 'meta', path)
    for name, value in _dict(content, 'state_dict', path).items():
        if not isinstance(value, torch.Tensor) and not str(name).endswith('_extra_state'):
            raise UsageError(
                f'checkpoint {path} has a {type(value).__name__} as the weights {name}: {REMEDY}'
            )
    classes = _dict(meta, 'dataset_meta', path).get('classes')
    if classes is not None:
        if not isinstance(classes, (list, tuple)):
            raise UsageError(
                f'checkpoint {path} has {classes!r} as its classes, not a list of names: {REMEDY}'
            )
        check_class_names(classes, f'checkpoint {path}')
    for task, order in _dict(meta, 'label_order', path).items():
        _check_order(order, f'task {task!r}' if task else 'the labels', path)


def _dict(parent: dict, key: str, path: str) -> dict:
    value = parent.get(key)
    if value is not None and not isinstance(value, dict):
        raise UsageError(
            f'checkpoint {path} has a {type(value).__name__} as {key}, not a dict: {REMEDY}'
        )
    return {} if value is None else value


def _check_order(order: Any, whose: str, path: str) -> None:
    """As ``LabelOrderHook`` writes it: a name, and each class id once."""
    sequence: Any = order.get('sequence') if isinstance(order, dict) else None
    named = isinstance(order, dict) and isinstance(order.get('order'), str)
    whole = isinstance(sequence, (list, tuple)) and all(type(one) is int for one in sequence)
    if not named or not whole or sorted(sequence) != list(range(len(sequence))):
        raise UsageError(
            f'checkpoint {path} has {order!r} as the order of {whose}, not a name and each class '
            f'id once: {REMEDY}'
        )
