# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Neighbours of labels and photos as tables on the terminal."""

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ['print_lift', 'print_neighbors']

#: Title, what a row is, what its neighbours are, and what says how near they are.
TABLES = {
    'labels': ('Nearest labels of each label (cosine)', 'label', 'label', 'cosine'),
    'photos': ('Nearest labels of each photo (score)', 'photo', 'label', 'score'),
    'photos_of_labels': ('Nearest photos of each label (score)', 'label', 'photo', 'score'),
}
FIGURES = {
    'mean': 'mean',
    'median': 'median',
    'pooled': 'pooled',
    'together': 'together',
}


def print_neighbors(report: dict[str, Any], console: Console, top: int = 20) -> None:
    """Print what :func:`neighbor_report` gave.

    Args:
        report: The report.
        console: Where to print.
        top: Most rows of a table.
    """
    for key, (title, own, other, value) in TABLES.items():
        rows = report.get(key)
        if not rows:
            continue
        if len(rows) > top:
            title += f', {top} of {len(rows):,}'
        table = Table(title=title, box=SIMPLE_HEAD, title_justify='left')
        table.add_column(own, overflow='fold')
        table.add_column('nearest first', overflow='fold')
        shown: dict[str, Callable[[str], str]] = {'photo': _short, 'label': str}
        for one in rows[:top]:
            near = ', '.join(
                f'{shown[other](two[other])} {two[value]:.2f}' for two in one['nearest']
            )
            table.add_row(escape(shown[own](one[own])), escape(near))
        console.print(table)


def print_lift(lifts: dict[str, dict[str, Any]], console: Console) -> None:
    """Print what :func:`measure_lift` gave for each split, with the middle 95 % of the draws."""
    for split, lift in lifts.items():
        title = (
            f'Do near labels come together? {split}: {lift["images"]:,} images, '
            f'{lift["pairs"]:,} pairs'
        )
        table = Table(title=title, box=SIMPLE_HEAD, title_justify='left')
        table.add_column('lift', no_wrap=True)
        for name in ('neighbours', 'any label', 'as frequent', 'p'):
            table.add_column(name, justify='right', no_wrap=True)
        for key, name in FIGURES.items():
            one = lift[key]
            if one is None:
                table.add_row(name, *['-'] * 4)
                continue
            matched = one['matched']
            table.add_row(
                name,
                _with_range(one['value'], one['interval']),
                f'{one["random"]["mean"]:.3g}',
                _with_range(matched['mean'], matched['range']),
                f'{matched["p"]:.3f}',
            )
        console.print(table)


def _with_range(value: float, ends: list[float]) -> str:
    return f'{value:.3g} ({ends[0]:.2g} to {ends[1]:.2g})'


def _short(name: str) -> str:
    """The file's name; whole paths are in the files."""
    return name.rstrip('/').rpartition('/')[-1] or name
