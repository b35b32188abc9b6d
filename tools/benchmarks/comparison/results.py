# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The comparison as tables and as JSON."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from tables.plan import describe_work
from tables.results import describe_head
from tables.summary import spread
from tables.writing import TextTable, cell_text, print_tables, tuning_to_text, write_markdown

from .figures import COLUMNS, COMPLETION
from .notes import completion_notes, main_notes, paired_notes, tuning_notes
from .outcomes import SECONDS, Outcome, compare_all, outcomes_of, tuning_outcome
from .paired import PAIRED, paired_text
from .plan import Comparison

__all__ = ['RESULTS', 'write_results']

RESULTS, TABLES, TUNING = 'results.json', 'table.md', 'tuning.md'
#: What learning rates are compared by.
TUNED = {'mAP and O-F1*, mean': 1, 'NLL': 2}


def write_results(args: argparse.Namespace, comparison: Comparison, console: Console) -> None:
    """Print the tables, and write them and ``results.json`` to ``args.out``."""
    work = describe_work()
    make = _tuning if args.lr_factors else _tables
    content, texts = make(args, comparison)
    results = dict(
        run=work,
        options={**vars(args), 'out': str(args.out)},
        split=comparison.data.split,
        data=asdict(comparison.data),
        features=comparison.features,
        missing=comparison.missing,
        failed=comparison.failed(),
        **content,
        runs=[
            dict(row=key[0], seed=key[1], lr_factor=key[2], **record)
            for key, record in comparison.records.items()
        ],
    )
    args.out.mkdir(parents=True, exist_ok=True)
    _replace(args.out / RESULTS, json.dumps(results, indent=2) + '\n')
    print_tables(console, texts)
    write_markdown(args.out / (TUNING if args.lr_factors else TABLES), describe_head(work), texts)


def _tables(args: argparse.Namespace, comparison: Comparison) -> tuple[dict, list[TextTable]]:
    models: dict[str, list[Outcome]] = {}
    rows = []
    for row in comparison.rows:
        models[row.name], failed = outcomes_of(comparison, row, args.seeds, args.known_seed)
        for one in models[row.name]:
            content = {'row': row.name, **asdict(one), 'folder': str(one.folder)}
            _replace(one.folder / 'figures.json', json.dumps(content, indent=2) + '\n')
        rows.append(_summary(row.name, row.title, models[row.name], failed))
    split = comparison.data.split
    drawn = (args.baseline, split, args.resamples, args.known_seed)
    pairs = compare_all(models, *drawn)
    content = dict(rows=rows, baseline=args.baseline, paired=pairs)
    texts = [
        _table(f'{comparison.name}, {split}', {**COLUMNS, SECONDS: 1}, 'figures', rows),
        _table(f'{comparison.name}, known labels, {split}', COMPLETION, 'completion', rows),
    ]
    sample = next((one.outputs(split) for found in models.values() for one in found), None)
    texts[0].notes.extend(main_notes(args, comparison, sample))
    texts[1].notes.extend(completion_notes(args, sample))
    if pairs:
        texts.append(_paired_table(args, comparison, rows, pairs, PAIRED))
    elif len(models) > 1:
        texts[0].notes.append(f'No differences: there is no row {args.baseline} to compare with.')
    measure = comparison.measure
    if measure is not None:
        columns, title = measure.columns, f'{comparison.name}, {measure.title}, {split}'
        texts.append(_table(title, columns, 'further', rows))
        texts[-1].notes.extend(measure.notes)
        content['paired_further'] = pairs = compare_all(models, *drawn, measure)
        if pairs:
            texts.append(_paired_table(args, comparison, rows, pairs, columns, measure.title))
    return content, texts


def _summary(name: str, title: str, models: Sequence[Outcome], failed: dict[str, str]) -> dict:
    """A row of all tables: cells are mean and deviation, or None."""
    cells = {}
    for part in ('figures', 'completion', 'further'):
        names = list(getattr(models[0], part)) if models else []
        values = {key: [getattr(one, part)[key] for one in models] for key in names}
        cells[part] = {
            key: spread([one for one in found if one is not None]) for key, found in values.items()
        }
    seeds = [one.seed for one in models]
    each = [{**asdict(one), 'folder': str(one.folder)} for one in models]
    return dict(row=name, title=title, seeds=seeds, errors=failed, cells=cells, models=each)


def _table(title: str, columns: dict[str, int] | Sequence[str], part: str, rows: list) -> TextTable:
    digits = columns if isinstance(columns, dict) else dict.fromkeys(columns, 1)
    lines = []
    for row in rows:
        cells = row['cells'][part]
        shown = [cell_text(cells.get(name), digits[name]) for name in digits]
        count = f'{len(row["seeds"])}'
        count += f' ({len(row["errors"])} failed)' if row['errors'] else ''
        lines.append([row['row'], row['title'], count, *shown])
    return TextTable(title, ['row', 'model', 'seeds', *digits], 2, lines, [], [])


def _paired_table(
    args: argparse.Namespace,
    comparison: Comparison,
    rows: list,
    pairs: dict,
    columns: Sequence[str],
    what: str | None = None,
) -> TextTable:
    lines = []
    for row in rows:
        found = pairs.get(row['row'])
        if found is not None:
            shown = [paired_text(found[name]) for name in columns]
            lines.append([row['row'], row['title'], *shown])
    title = ', '.join(filter(None, [comparison.name, what, f'against {args.baseline}']))
    title += f', {comparison.data.split}'
    return TextTable(title, ['row', 'model', *columns], 2, lines, [], paired_notes(args))


def _tuning(args: argparse.Namespace, comparison: Comparison) -> tuple[dict, list[TextTable]]:
    lines: dict[str, list[dict]] = {name: [] for name in TUNED}
    for row in comparison.rows:
        cells: dict[str, dict[float, Any]] = {name: {} for name in TUNED}
        for factor in args.lr_factors:
            keys = [(row.name, seed, factor) for seed in args.seeds]
            found = [tuning_outcome(comparison, key, args.known_seed) for key in keys]
            figures = [one.figures for one in found if one is not None]
            means = [(one['mAP'] + one['O-F1*']) / 2 for one in figures]
            losses = [one['NLL'] for one in figures if one['NLL'] is not None]
            for name, values in zip(TUNED, (means, losses), strict=True):
                cells[name][factor] = spread(values)
        for name in TUNED:
            line = dict(method=row.title, row=row.name, lr_factor=row.lr_factor, cells=cells[name])
            lines[name].append(line)
    texts = [
        tuning_to_text(
            f'{comparison.name}, learning-rate factors, {name}',
            args.lr_factors,
            lines[name],
            tuning_notes(args),
            digits,
        )
        for name, digits in TUNED.items()
    ]
    plain = {
        name: [
            {**line, 'cells': {f'{key:g}': cell for key, cell in line['cells'].items()}}
            for line in of_name
        ]
        for name, of_name in lines.items()
    }
    return dict(tuning=plain), texts


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f'.{path.name}.new')
    beside.write_text(text, encoding='utf-8')
    beside.replace(path)
