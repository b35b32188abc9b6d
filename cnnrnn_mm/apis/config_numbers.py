# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Numbers of a config that no run can use, and that the host takes without a word."""

import math
import numbers
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..errors import UsageError

__all__ = ['check_numbers']

#: Entries below which a number that is not finite ends in weights that are not.
TRAINED_WITH = ('optim_wrapper', 'model', 'data_preprocessor')
#: (entry, least value): what the host would pass over, or fail on far from the config.
LEAST = (
    ('train_cfg.max_epochs', 1),
    ('train_cfg.max_iters', 1),
    ('train_cfg.val_interval', 1),
    *((f'{split}_dataloader.batch_size', 1) for split in ('train', 'val', 'test')),
    *((f'{split}_dataloader.num_workers', 0) for split in ('train', 'val', 'test')),
    ('optim_wrapper.accumulative_counts', 1),
    ('optim_wrapper.optimizer.lr', 0),
)


def check_numbers(cfg: Config) -> None:
    """Raise ``UsageError`` for a number that is not finite, or out of its range."""
    for entry in TRAINED_WITH:
        for key, value in _floats(cfg.get(entry), entry):
            if not math.isfinite(value):
                raise UsageError(f'{key} of the config is {value}: set it to a finite number')
    for key, least in LEAST:
        value = _entry(cfg, key)
        if value is None:
            continue
        whole = not key.endswith('.lr')
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise UsageError(f'{key} of the config is {value!r}: set it to a number')
        number = float(value)
        if not number >= least or (whole and not number.is_integer()):  # NaN is neither
            kind = 'a whole number' if whole else 'a number'
            raise UsageError(f'{key} of the config is {value}: set it to {kind} from {least} on')


def _entry(cfg: Any, key: str) -> Any:
    for name in key.split('.'):
        cfg = cfg.get(name) if isinstance(cfg, dict | Config) else None
    return cfg


def _floats(value: Any, key: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _floats(one, f'{key}.{name}')
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _floats(one, f'{key}[{number}]')
