# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From the records of single runs to the lines of a table.

A cell is a dict with ``mean`` and ``deviation`` (of the sample, n - 1; None for one seed), or None.
"""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from .protocols import COLUMNS, SCORES, Line, lines
from .published import PublishedSet
from .row import Row

__all__ = ['class_precision', 'make_table', 'make_tuning', 'spread']

MEASURED, PUBLISHED = 'measured', 'published'
#: By name of the row, seed and factor of the learning rate; with 'error' where a run failed.
Records = Mapping[tuple[str, int, float], Mapping[str, Any]]


def make_table(
    rows: Sequence[Row],
    seeds: Sequence[int],
    paths: Mapping[str, bool],
    records: Records,
    k: int,
    published: PublishedSet | None,
) -> list[dict]:
    """The table of k labels an image.

    Args:
        rows: The rows, in order.
        seeds: The seeds.
        paths: Whether the head of each row, by its name, decodes paths.
        records: The records of the runs.
        k: Labels an image.
        published: The paper's figures for this data; None where it has none.

    Returns:
        A dict a line: ``method``, ``protocol``, ``source`` ('measured' or 'published'), ``seeds``
        (those that succeeded), ``errors`` (of the others) and ``cells`` by column. Published lines
        stand behind those of their row; methods that only the paper has stand at the end.
    """
    theirs = published.rows if published is not None and published.k == k else []
    shown, used = [], []
    for row in rows:
        shown += [_measured(row, seeds, records, line) for line in lines(paths[row.name], k)]
        beside = [one for one in theirs if one['method'] == row.published and one not in used]
        shown += [_published(one, k) for one in beside]
        used += beside
    return shown + [_published(one, k) for one in theirs if one not in used]


def class_precision(
    rows: Sequence[Row],
    seeds: Sequence[int],
    records: Records,
    classes: Sequence[str],
    published: PublishedSet,
) -> list[dict]:
    """Average precision a class, 11-point, beside the paper's: lines as of :func:`make_table`."""
    shown = []
    for row in rows:
        made = {seed: records[row.name, seed, row.lr_factor] for seed in seeds}
        good = {seed: one for seed, one in made.items() if 'error' not in one}
        metrics = [one['evaluations'][SCORES]['metrics'] for one in good.values()]
        cells = {'mAP': spread([one['ranking/mAP_11points'] for one in metrics])}
        for place, name in enumerate(classes):
            found = [one['ranking/AP_11points_classwise'][place] for one in metrics]
            cells[name] = spread([one for one in found if one is not None])
        shown.append(_line(row.title, 'scores', MEASURED, cells, list(good), _errors(made)))
    for one in published.average_precision:
        figures = {'mAP': one['mAP'], **one['classes']}
        shown.append(_line(one['method'], 'scores', PUBLISHED, _cells(figures, figures)))
    return shown


def make_tuning(
    rows: Sequence[Row],
    factors: Sequence[float],
    seeds: Sequence[int],
    paths: Mapping[str, bool],
    records: Records,
    k: int,
) -> list[dict]:
    """The mean of C-F1 and O-F1 for each row and factor, each image getting exactly k labels.

    Returns:
        A dict a row: ``method``, ``lr_factor`` (the row's own), ``errors`` and ``cells`` by factor.
    """
    found = []
    for row in rows:
        line = next(one for one in lines(paths[row.name], k) if one.exact)
        cells, errors = {}, {}
        for factor in factors:
            made = {seed: records[row.name, seed, factor] for seed in seeds}
            figures = [_figures(one, line) for one in made.values() if 'error' not in one]
            cells[factor] = spread([(one['C-F1'] + one['O-F1']) / 2 for one in figures])
            errors.update({f'{factor:g}, {seed}': text for seed, text in _errors(made).items()})
        found.append(dict(method=row.title, lr_factor=row.lr_factor, errors=errors, cells=cells))
    return found


def spread(values: Sequence[float]) -> dict[str, float | None] | None:
    """A cell of the figures of several seeds."""
    if not values:
        return None
    return dict(mean=mean(values), deviation=stdev(values) if len(values) > 1 else None)


def _measured(row: Row, seeds: Sequence[int], records: Records, line: Line) -> dict:
    made = {seed: records[row.name, seed, row.lr_factor] for seed in seeds}
    good = {seed: one for seed, one in made.items() if 'error' not in one}
    figures = [_figures(one, line) for one in good.values()]
    cells = {name: spread([one[name] for one in figures if name in one]) for name in COLUMNS}
    return _line(row.title, line.protocol, MEASURED, cells, list(good), _errors(made))


def _figures(record: Mapping[str, Any], line: Line) -> dict[str, float]:
    """The figures of a run in a line, by column."""
    metrics = record['evaluations'][line.decoding]['metrics']
    return {name: metrics[key] for name, key in line.metrics.items()}


def _published(figures: Mapping[str, Any], k: int) -> dict:
    return _line(figures['method'], f'k = {k}', PUBLISHED, _cells(figures, COLUMNS))


def _cells(figures: Mapping[str, Any], names: Sequence[str]) -> dict:
    return {
        name: dict(mean=figures[name], deviation=None) if name in figures else None
        for name in names
    }


def _line(
    method: str,
    protocol: str,
    source: str,
    cells: dict,
    seeds: Sequence[int] = (),
    errors: dict | None = None,
) -> dict:
    return dict(
        method=method,
        protocol=protocol,
        source=source,
        seeds=list(seeds),
        errors=errors or {},
        cells=cells,
    )


def _errors(made: Mapping[int, Mapping[str, Any]]) -> dict[str, str]:
    return {str(seed): one['error'] for seed, one in made.items() if 'error' in one}
