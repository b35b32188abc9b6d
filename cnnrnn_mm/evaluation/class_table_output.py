# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A table of classes as text and as a file."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnnrnn_mm.datasets.label_table import write_whole

from .functional.class_table import ClassRow

__all__ = ['format_class_table', 'save_class_table']

#: Column titles in the order of :class:`ClassRow`.
TITLES = ('id', 'class', 'positives', 'predicted', 'P', 'R', 'F1', 'AP', 'AP 11 points')
#: Wide enough for any name; the text is not folded.
WIDTH = 200


def format_class_table(rows: Sequence[ClassRow], title: str = '') -> str:
    """The table as plain text, percentages with one decimal; '-' for what is not defined.

    Columns that no row fills, such as names that are not known, are left out.

    Args:
        rows: One for each class.
        title: Stands above the table.
    """
    table = Table(title=escape(title), title_justify='left', box=SIMPLE_HEAD)
    shown = [place for place in range(len(TITLES)) if any(row[place] is not None for row in rows)]
    for place in shown:
        table.add_column(
            TITLES[place], justify='left' if TITLES[place] == 'class' else 'right', overflow='fold'
        )
    for row in rows:
        table.add_row(*(escape(_format(row[place])) for place in shown))
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, force_terminal=False)
    console.print(table)
    return '\n'.join(line.rstrip() for line in text.getvalue().splitlines()).strip('\n')


def save_class_table(path: str | Path, rows: Sequence[ClassRow]) -> None:
    """Write the table as CSV in UTF-8, whole or not at all, full precision, with a header line.

    The columns are the fields of :class:`ClassRow`; what is not defined is an empty cell.

    Args:
        path: Of the file; one that is there is replaced.
        rows: One for each class.

    Raises:
        UsageError: If the file can't be written.
    """

    def write(unfinished: Path) -> None:
        with unfinished.open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(ClassRow._fields)
            writer.writerows(rows)

    write_whole(path, write)


def _format(value: float | str | None) -> str:
    if value is None:
        return '-'
    return f'{value:.1f}' if isinstance(value, float) else str(value)
