# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Rows of a table: what each changes in a CNN-RNN config."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from cnnrnn_mm.apis.dataset_configs import leaves, type_name
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
        takes: Entries of the new head that are those of the config's, as
            ``{'hidden_dims': 'marginal.hidden_dims'}``.
        label_order: In which the labels are learnt; None for the config's.
        needs: What it can't do without, beside the config; None for nothing.
        derived: How it is made of what others gave, if it is not trained itself.
        changes: What is merged into the config, as a config file that builds on it would.
    """

    name: str
    title: str
    published: str | None = None
    lr_factor: float = 1.0
    takes: dict[str, str] = field(default_factory=dict)
    label_order: str | None = None
    needs: str | None = None
    derived: dict | None = None
    changes: dict = field(default_factory=dict)


def load_row(name: str, folder: Path = FOLDER, names: Sequence[str] = ROWS) -> Row:
    """Read a row.

    Args:
        name: One of ``names``, or the path of a config file like those in ``rows/``.
        folder: Where the files of ``names`` are.
        names: All rows that have one.

    Raises:
        UsageError: If there is no such row.
    """
    path = Path(name) if name.endswith('.py') else folder / f'{name.replace("-", "_")}.py'
    if not path.is_file():
        raise UsageError(
            f"there is no row '{name}': choose from {', '.join(names)}, or give the path of a file "
            f'like those in {folder}'
        )
    content = Config.fromfile(path).to_dict()
    factor = content.pop('lr_factor', 1.0)
    if not isinstance(factor, (int, float)) or factor <= 0:
        raise UsageError(f'{path}: lr_factor is {factor!r}: set it above 0')
    stem = path.stem if name.endswith('.py') else name
    own = {
        key: content.pop(key)
        for key in ('published', 'takes', 'label_order', 'needs', 'derived')
        if key in content
    }
    title = content.pop('title', stem)
    return Row(stem, title, lr_factor=float(factor), changes=content, **own)


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
    for key, place in row.takes.items():
        changed.model.head[key] = _entry(head, place, row)
    if row.label_order is not None:
        _order_labels(changed, row.label_order)
    optimizer = changed.optim_wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        raise UsageError(
            f'row {row.name}: optim_wrapper.optimizer has no lr to multiply: set it in the config'
        )
    optimizer['lr'] *= row.lr_factor if lr_factor is None else lr_factor
    return changed


def _entry(head: dict, place: str, row: Row) -> object:
    """An entry of the config's head."""
    for part in place.split('.'):
        if not isinstance(head, dict) or part not in head:
            raise UsageError(
                f'row {row.name} takes {place} of model.head, which the config does not have: set '
                'it there, or change takes in the row'
            )
        head = head[part]
    return head


def _order_labels(cfg: Config, order: str) -> None:
    """Name another order in the training pipeline, in place."""
    for dataset in leaves(cfg.train_dataloader.dataset):
        for transform in dataset.get('dataset', dataset).get('pipeline', []):
            if type_name(transform) == 'OrderLabels':
                transform['order'] = order


def has_paths(cfg: Config) -> bool:
    """Whether the config's head decodes label paths."""
    kind = cfg.model.head['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, CNNRNNHead)
