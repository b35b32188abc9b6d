# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What was found, as the rows of a table, and what a kept table has better."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .checks import Outcome
from .family import Family

__all__ = ['COLUMNS', 'Row', 'failures', 'find_losses', 'table_rows']

COLUMNS = (
    'Family',
    'What was built',
    'Pixels',
    'It gives',
    'in_channels',
    'CNNRNNHead',
    'RLSDHead',
    'Other forms',
    'Idle',
    'Note',
)
CHECKED = ('CNNRNNHead', 'RLSDHead', 'Other forms')
WORKS, FAILS, NO_MAP = 'works', 'fails', 'no map'

#: The cells of a family by column.
Row = dict[str, str]


def table_rows(
    families: Mapping[str, Family], outcomes: Mapping[str, Sequence[Outcome]]
) -> list[Row]:
    """One row for each family that was run, its cells by column."""
    return [_row(name, families[name], found) for name, found in outcomes.items()]


def _row(name: str, family: Family, found: Sequence[Outcome]) -> Row:
    own, *others = [one for one in found if one.head == 'CNNRNNHead']
    regions = [one for one in found if one.head == 'RLSDHead']
    through = sum(one.works for one in others)
    cells = (
        name,
        _arguments(family.options),
        str(family.size),
        own.features or '-',
        str(own.channels),
        WORKS if own.works else FAILS,
        (_with(WORKS if regions[0].works else FAILS, regions[0].options) if regions else NO_MAP),
        f'{through} of {len(others)}' if others else '-',
        str(own.idle) if own.works else '-',
        family.note,
    )
    return dict(zip(COLUMNS, cells, strict=True))


def _arguments(options: Mapping[str, Any]) -> str:
    """Python's arguments, nested dicts in the way of a config."""
    return ', '.join(f'{name}={_value(value)}' for name, value in options.items())


def _value(value: Any) -> str:
    return f'dict({_arguments(value)})' if isinstance(value, Mapping) else repr(value)


def _with(verdict: str, options: Mapping[str, Any]) -> str:
    return f'{verdict}: {_arguments(options)}' if options else verdict


def failures(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[tuple[str, str, str, str]]:
    """Family, head with options, whose code, and error of everything that failed."""
    for name, found in outcomes.items():
        for one in found:
            if not one.works:
                yield name, _with(one.head, one.options), one.where, one.error


def find_losses(kept: Mapping[str, Row], rows: Sequence[Row]) -> list[str]:
    """What the kept table says works, and does not now: ``'family: column'``."""
    losses = []
    for row in rows:
        for column in CHECKED:
            before = kept.get(row['Family'], {}).get(column, FAILS)
            if _amount(row[column]) < _amount(before):
                losses.append(f'{row["Family"]}: {column}')
    return losses


def _amount(cell: str) -> int:
    """How much of it works, to compare two cells of a row."""
    if match := re.match(r'(\d+) of \d+$', cell):
        return int(match[1])
    return int(cell.startswith(WORKS))
