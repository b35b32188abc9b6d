# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Where the rows of a comparison come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from tables.row import Row, apply_row, load_row

__all__ = ['RowFiles']


def _as_it_is(cfg: Config, row: Row) -> Config:
    return cfg


@dataclass(frozen=True)
class RowFiles:
    """A folder of row files, and what they are applied to.

    Attributes:
        folder: Where they are.
        names: All of them.
        default: Those that are run unless others are named.
        base_of: ``base_of(cfg, row)``: the config that a row is merged into; it changes neither.
    """

    folder: Path
    names: tuple[str, ...]
    default: tuple[str, ...]
    base_of: Callable[[Config, Row], Config] = _as_it_is

    def load(self, name: str) -> Row:
        """One of ``names``, or the row in a file of that path."""
        return load_row(name, self.folder, self.names)

    def config_of(self, cfg: Config, row: Row, lr_factor: float | None = None) -> Config:
        """The config of a row; see :func:`tables.row.apply_row`."""
        return apply_row(self.base_of(cfg, row), row, lr_factor)
