# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Tables on the console and in Markdown. Both come from the same lines of text."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .summary import PUBLISHED

__all__ = [
    'TextTable',
    'cell_text',
    'lines_to_text',
    'print_tables',
    'tuning_to_text',
    'write_markdown',
]

TABLE_WIDTH = 250  # for lines that are not broken, whatever the terminal
NONE = '-'


class TextTable(NamedTuple):
    """A table as it is shown.

    Attributes:
        title: What it is of.
        header: Names of the columns.
        left: How many of them, from the left, are words.
        lines: The cells.
        strong: Lines that stand out.
        notes: What is said below.
    """

    title: str
    header: list[str]
    left: int
    lines: list[list[str]]
    strong: list[int]
    notes: list[str]


def lines_to_text(
    title: str, columns: Sequence[str], lines: Sequence[dict], notes: Sequence[str]
) -> TextTable:
    """A table of measured and published lines."""
    text = []
    for line in lines:
        source = line['source']
        if source != PUBLISHED:
            count = len(line['seeds'])
            source += f', {count} seed{"" if count == 1 else "s"}'
            source += f', {len(line["errors"])} failed' if line['errors'] else ''
        cells = (line['cells'].get(name) for name in columns)
        text.append([line['method'], line['protocol'], source, *map(cell_text, cells)])
    header = ['method', 'labels of an image', 'figures', *columns]
    strong = [number for number, line in enumerate(lines) if line['source'] == PUBLISHED]
    return TextTable(title, header, 3, text, strong, list(notes))


def tuning_to_text(
    title: str,
    factors: Sequence[float],
    lines: Sequence[dict],
    notes: Sequence[str],
    digits: int = 1,
) -> TextTable:
    """A table of learning-rate factors; each row's own is marked."""
    text = []
    for line in lines:
        cells = []
        for factor in factors:
            shown = cell_text(line['cells'][factor], digits)
            cells.append(f'[{shown}]' if factor == line['lr_factor'] else shown)
        text.append([line['method'], *cells])
    return TextTable(
        title, ['method', *(f'x {one:g}' for one in factors)], 1, text, [], list(notes)
    )


def print_tables(console: Console, tables: Sequence[TextTable]) -> None:
    """Show tables; published lines are in italics."""
    wide = Console(file=console.file, width=max(console.width, TABLE_WIDTH))
    for one in tables:
        wide.print(one.title, style='bold', markup=False, soft_wrap=True)
        table = Table(box=SIMPLE_HEAD)
        for number, name in enumerate(one.header):
            justify = 'left' if number < one.left else 'right'
            table.add_column(escape(name), justify=justify, no_wrap=True)
        for number, cells in enumerate(one.lines):
            style = 'italic' if number in one.strong else None
            table.add_row(*map(escape, cells), style=style)
        wide.print(table)
        for note in one.notes:
            wide.print(note, markup=False, soft_wrap=True)
        wide.print()


def write_markdown(path: Path, head: Sequence[str], tables: Sequence[TextTable]) -> None:
    """Replace a Markdown file; published lines are in italics."""
    parts = list(head)
    for one in tables:
        rule = ['---'] * one.left + ['---:'] * (len(one.header) - one.left)
        rows = [one.header, rule]
        for number, cells in enumerate(one.lines):
            strong = number in one.strong
            rows.append([f'*{cell}*' if strong and cell != NONE else cell for cell in cells])
        text = '\n'.join(f'| {" | ".join(cells)} |' for cells in rows)
        parts += [f'## {one.title}', text, *one.notes]
    beside = path.with_name(f'.{path.name}.new')
    beside.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
    beside.replace(path)


def cell_text(cell: dict | None, digits: int = 1) -> str:
    """Mean and deviation, or a sign for none."""
    if cell is None:
        return NONE
    if cell['deviation'] is None:
        return f'{cell["mean"]:.{digits}f}'
    return f'{cell["mean"]:.{digits}f} ± {cell["deviation"]:.{digits}f}'
