# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Predictions on a terminal."""

import math
import os
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .photo_inputs import is_address

__all__ = ['PredictionTable', 'describe_photo']

#: Up to so many photos are shown with their alternatives and marginals.
FEW = 3


class PredictionTable:
    """Takes records one by one and shows the first of them.

    Up to three photos are shown in full: the path with the probability of each step, the next best
    paths and the best marginals. Of more, each is a line.

    Args:
        rows: Most photos to show; the rest is counted.
        num_marginals: Labels to show with their marginal scores, of each of a few photos.
    """

    def __init__(self, rows: int = 20, num_marginals: int = 5) -> None:
        self.rows, self.num_marginals = rows, num_marginals
        self.shown: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.count = self.failed = 0

    def add(self, record: dict[str, Any]) -> None:
        """Take the next one."""
        if 'error' in record:
            self.failed += 1
            if len(self.errors) < self.rows:
                self.errors.append(record['error'])
            return
        self.count += 1
        if len(self.shown) < self.rows:
            self.shown.append(record)

    def show(self, console: Console) -> None:
        """Print what was taken."""
        if not self.shown:
            return
        if self.count <= FEW:
            for record in self.shown:
                console.print(describe_photo(record, self.num_marginals))
        else:
            console.print(_table(self.shown))
        if self.count > len(self.shown):
            console.print(f'... and {self.count - len(self.shown):,} more photos')

    def show_errors(self, console: Console) -> None:
        """Print which photos could not be read."""
        for message in self.errors:
            console.print(Text.assemble(('passed over: ', 'bold red'), message), soft_wrap=True)
        if self.failed > len(self.errors):
            console.print(f'... and {self.failed - len(self.errors):,} more passed over')


def describe_photo(record: dict[str, Any], num_marginals: int = 5) -> RenderableType:
    """One record in full."""
    width, height = record['size']
    heading = Text.assemble((_name(record), 'bold'), f'  {width} x {height} pixels')
    parts: list[RenderableType] = [heading, _answer(record)]
    if record['path'] is not None:
        parts += [_certificate(record), _paths(record)]
    if num_marginals:
        parts.append(_marginals(record, num_marginals))
    return Group(*parts)


def _table(records: list[dict]) -> Table:
    """A line a photo."""
    with_paths = any(record['path'] is not None for record in records)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column('photo', overflow='fold', max_width=32)
    table.add_column('labels', overflow='fold')
    if with_paths:
        for title in ('P(path)', 'P(set)'):
            table.add_column(title, justify='right', no_wrap=True)
        table.add_column('proven', justify='center', no_wrap=True)
    for record in records:
        cells = [Text(_name(record)), _answer(record)]
        if with_paths:
            proven = 'yes' if record['proven'] else 'no'
            cells += [Text(_number(record['path_prob'])), Text(_set_prob(record)), Text(proven)]
        table.add_row(*cells)
    return table


def _answer(record: dict) -> Text:
    """The labels, each with the probability of its step, or with its score."""
    if not record['labels']:
        return Text('no label', style='dim')
    if record['path'] == record['labels']:
        values = record['step_probs']
    else:
        scores = {one['id']: one['score'] for one in record['marginals']}
        values = [scores.get(one) for one in record['label_ids']]
    return _line(record['labels'], values)


def _line(labels: list[str], values: list[float | None]) -> Text:
    line = Text()
    for place, (label, value) in enumerate(zip(labels, values, strict=False)):
        line.append(', ' if place else '')
        line.append(_printable(label), style='bold')
        if value is not None:
            line.append(f' {_number(value)}', style='dim')
    return line


def _certificate(record: dict) -> Text:
    """P(path), P(set), and how sure it is that no path is better."""
    words = f'P(path) {_number(record["path_prob"])}'
    if record['set_prob'] is not None:
        words += f', P(set) {_set_prob(record)}'
    if record['proven']:
        return Text(f'{words}; proven: no allowed path is more probable')
    if record['gap'] is None:
        return Text(f'{words}; not proven: another allowed path may be more probable')
    factor = math.exp(min(record['gap'], 700.0))
    return Text(f'{words}; a better path is at most {factor:.3g} times as probable')


def _paths(record: dict) -> Table:
    """The best paths."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column('P(path)', justify='right')
    table.add_column('paths, END last', overflow='fold')
    best = _line([*record['path'], 'END'], record['step_probs'])
    table.add_row(_number(record['path_prob']), best)
    for other in record['alternatives']:
        labels = ', '.join(_printable(label) for label in other['labels']) or 'no label'
        table.add_row(_number(other['prob']), Text(labels))
    return table


def _marginals(record: dict, most: int) -> Table:
    """The labels with the best scores."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column('label', overflow='fold')
    table.add_column('score', justify='right')
    bounded = record['path'] is not None
    if bounded:
        table.add_column('P(label), unconstrained', justify='right')
    for one in record['marginals'][:most]:
        cells = [Text(_printable(one['label'])), Text(_number(one['score']))]
        if bounded:
            span = '-' if one['lower'] is None else f'{one["lower"]:.3f} to {one["upper"]:.3f}'
            cells.append(Text(span))
        table.add_row(*cells)
    return table


def _set_prob(record: dict) -> str:
    """One number where both bounds agree in what is shown."""
    if record['set_prob'] is None:
        return '-'
    lower, upper = map(_number, record['set_prob'])
    return lower if lower == upper else f'{lower} to {upper}'


def _number(value: float | None) -> str:
    if value is None:
        return '-'
    return f'{value:.3f}' if abs(value) >= 0.001 or value == 0 else f'{value:.1e}'


def _name(record: dict) -> str:
    path = record['photo']
    if path is None:
        return 'photo without a name'
    return _printable(path if is_address(path) else os.path.basename(path))


def _printable(text: str) -> str:
    """Control characters and undecodable bytes are shown, not obeyed."""
    return ''.join(one if one.isprintable() else '?' for one in text)
