# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The Markdown file in which the table is kept."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnrnn_mm.errors import UsageError

from .checks import Outcome
from .table_rows import COLUMNS, Row, failures

__all__ = ['check_replaceable', 'read_kept', 'write_tables']

BEGIN, END = '<!-- matrix begins -->', '<!-- matrix ends -->'
ROW = re.compile(r'^\| (?P<name>[A-Z]\w+) \|(?P<cells>.*)\|$')


def write_tables(
    path: Path, rows: Sequence[Row], outcomes: Mapping[str, Sequence[Outcome]], about: str
) -> None:
    """Write both tables between the marks of a Markdown file, or into a new one; whole or not."""
    given = [
        [f'`{cell}`' if cell and name == COLUMNS[1] else cell for name, cell in row.items()]
        for row in rows
    ]
    lines = [about, '', *_markdown(COLUMNS, given), '']
    failed = [
        (name, f'`{what}`', f'`{where}`', error) for name, what, where, error in failures(outcomes)
    ]
    if failed:
        lines += ['What failed:', '']
        lines += [*_markdown(('Family', 'What was tried', 'Raised in', 'First line'), failed), '']
    block = '\n'.join([BEGIN, '', *lines, END])
    before, _, after = _split(path)
    beside = path.with_name(f'.{path.name}.new')
    beside.write_text(f'{before}{block}{after}', encoding='utf-8')
    beside.replace(path)


def _split(path: Path) -> tuple[str, str, str]:
    """What stands before, between and after the marks."""
    if not path.is_file():
        return '# Backbones\n\n', '', '\n'
    text = path.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(
            f'{path} exists and has no place for the table: put the lines {BEGIN} and {END} where '
            'it belongs, or name another file'
        )
    before, _, rest = text.partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ['---'] * len(columns), *rows]
    return ['| ' + ' | '.join(cell.replace('|', r'\|') for cell in line) + ' |' for line in lines]


def read_kept(path: Path) -> dict[str, Row]:
    """The cells of each family of a kept table; empty where there is no file.

    Raises:
        UsageError: If the file has marks for no table, or a row of another number of cells.
    """
    if not path.is_file():
        return {}
    kept = {}
    for line in _split(path)[1].splitlines():
        if line == 'What failed:':
            break
        if match := ROW.match(line):
            cells = [match['name'], *(cell.strip() for cell in match['cells'].split('|'))]
            if match['name'] == COLUMNS[0]:
                continue
            if len(cells) != len(COLUMNS):
                raise UsageError(
                    f'{path}: the row of {cells[0]} has {len(cells)} cells, not {len(COLUMNS)}: '
                    'write the table anew with --out'
                )
            kept[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    return kept


def check_replaceable(path: Path, names: Sequence[str]) -> None:
    """Refuse to write over a table that has families which this run has not.

    Raises:
        UsageError: If the file has such rows, or no place for a table.
    """
    if not path.parent.is_dir():
        raise UsageError(f'--out {path}: the folder {path.parent} does not exist')
    lost = [name for name in read_kept(path) if name not in names]
    if lost:
        raise UsageError(
            f'{path} holds {len(lost)} families that this run leaves out ({lost[0]}, ...): run all '
            'families, or name another file'
        )
