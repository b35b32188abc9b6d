# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Rows of a table: what each changes in a CNN-RNN config."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.registry import MODELS

__all__ = ['ROWS', 'Row', 'apply_row', 'has_paths', 'load_row']

FOLDER = Path(__file__).parent / 'rows'
#: In the paper's order.
ROWS = ('softmax', 'warp', 'bce', 'no-rnn', 'cnn-rnn')
#: What a new head takes from the config's, unless the row says otherwise.
INHERITED = ('num_classes', 'in_channels')


@dataclass(frozen=True)
class Row:
    """A method of the table.

    Attributes:
        name: Of its folder and file.
        title: In the table.
        published: The method of the paper that it stands beside; None for none.
        lr_factor: The learning rate is the config's times this.
        changes: What is merged into the config, as a config file that builds on it would.
    """

    name: str
    title: str
    published: str | None = None
    lr_factor: float = 1.0
    changes: dict = field(default_factory=dict)


def load_row(name: str) -> Row:
    """Read a row.

    Args:
        name: One of ``ROWS``, or the path of a config file like those in ``rows/``.

    Raises:
        UsageError: If there is no such row.
    """
    path = Path(name) if name.endswith('.py') else FOLDER / f'{name.replace("-", "_")}.py'
    if not path.is_file():
        raise UsageError(
            f"there is no row '{name}': choose from {', '.join(ROWS)}, or give the path of a file "
            f'like those in {FOLDER}'
        )
    content = Config.fromfile(path).to_dict()
    factor = content.pop('lr_factor', 1.0)
    if not isinstance(factor, (int, float)) or factor <= 0:
        raise UsageError(f'{path}: lr_factor is {factor!r}: set it above 0')
    stem = path.stem if name.endswith('.py') else name
    title, published = content.pop('title', stem), content.pop('published', None)
    return Row(stem, title, published, float(factor), content)


def apply_row(cfg: Config, row: Row, lr_factor: float | None = None) -> Config:
    """The config of a row.

    Args:
        cfg: The CNN-RNN config; it is not changed.
        row: The row.
        lr_factor: Instead of the row's own.

    Raises:
        UsageError: If the config has no learning rate to multiply.
    """
    head = cfg.model.head
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict(copy.deepcopy(row.changes))
    for key in INHERITED:
        changed.model.head.setdefault(key, head[key])
    optimizer = changed.optim_wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        raise UsageError(
            f'row {row.name}: optim_wrapper.optimizer has no lr to multiply: set it in the config'
        )
    optimizer['lr'] *= row.lr_factor if lr_factor is None else lr_factor
    return changed


def has_paths(cfg: Config) -> bool:
    """Whether the config's head decodes label paths."""
    kind = cfg.model.head['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, CNNRNNHead)
