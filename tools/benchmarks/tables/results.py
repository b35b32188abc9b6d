# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Everything that was measured, as tables and as JSON."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from .plan import Plan, describe_work
from .protocols import COLUMNS
from .summary import class_precision, make_table, make_tuning
from .writing import TextTable, lines_to_text, print_tables, tuning_to_text, write_markdown

__all__ = ['describe_head', 'write_results']

RESULTS, TABLES, TUNING = 'results.json', 'table.md', 'tuning.md'


def write_results(
    args: argparse.Namespace, plans: Sequence[Plan], console: Console
) -> dict[str, Any]:
    """Print the tables, and write them and ``results.json`` to ``args.out``.

    Returns:
        What ``results.json`` holds: ``run``, ``options``, ``failed`` and, for each config, its
        data, the tables, and the figures of each run.
    """
    work = describe_work()
    configs, texts = [], []
    for plan in plans:
        tables = _tuning(args, plan) if args.lr_factors else _tables(args, plan)
        texts += [text for _, text in tables]
        configs.append(
            dict(
                config=plan.config,
                features=plan.features,
                data=asdict(plan.data),
                published=None if plan.published is None else plan.published.name,
                tables=[content for content, _ in tables],
                runs=[
                    dict(row=key[0], seed=key[1], lr_factor=key[2], **record)
                    for key, record in plan.records.items()
                ],
            )
        )
    failed = {name: error for plan in plans for name, error in plan.failed().items()}
    options = {**vars(args), 'out': str(args.out)}
    results = dict(run=work, options=options, failed=failed, configs=configs)
    args.out.mkdir(parents=True, exist_ok=True)
    beside = args.out / f'.{RESULTS}.new'
    beside.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')
    beside.replace(args.out / RESULTS)
    print_tables(console, texts)
    write_markdown(args.out / (TUNING if args.lr_factors else TABLES), describe_head(work), texts)
    return results


def _tables(args: argparse.Namespace, plan: Plan) -> list[tuple[dict, TextTable]]:
    notes, found = _notes(plan), []
    for k in args.k:
        lines = make_table(plan.rows, args.seeds, plan.paths, plan.records, k, plan.published)
        title = f'{plan.name}, k = {k}, {plan.data.split}'
        found.append((dict(k=k, lines=lines), lines_to_text(title, COLUMNS, lines, notes)))
    if plan.published is not None and plan.published.average_precision:
        classes = plan.data.classes
        lines = class_precision(plan.rows, args.seeds, plan.records, classes, plan.published)
        title = f'{plan.name}, 11-point average precision, {plan.data.split}'
        text = lines_to_text(title, ['mAP', *classes], lines, notes)
        found.append((dict(average_precision=True, lines=lines), text))
    return found


def _tuning(args: argparse.Namespace, plan: Plan) -> list[tuple[dict, TextTable]]:
    k, factors = args.k[0], args.lr_factors
    lines = make_tuning(plan.rows, factors, args.seeds, plan.paths, plan.records, k)
    title = f'{plan.name}, learning-rate factors, {plan.data.split}'
    notes = [
        f'Mean of C-F1 and O-F1, in percent, where each image gets exactly {k} labels; '
        f"seeds {_list(args.seeds)}. In brackets: the row's own factor."
    ]
    content = dict(k=k, tuning=[{**line, 'cells': _keys_as_text(line['cells'])} for line in lines])
    return [(content, tuning_to_text(title, factors, lines, notes))]


def _notes(plan: Plan) -> list[str]:
    """What a reader has to know of the figures of a config."""
    data, seeds = plan.data, sorted({key[1] for key in plan.runs})
    source = 'images' if plan.features is None else f'features cached in {plan.features}'
    notes = [
        f'Measured on {data.evaluated["images"]} images of {data.split} with '
        f'{len(data.classes)} labels, trained on {data.train["images"]} ({source}), weights of '
        f'the last epoch. Percent: mean and sample deviation over seeds {_list(seeds)}.',
    ]
    published = plan.published
    if published is None:
        notes.append('The paper has no figures for this data, so there are no published lines.')
    else:
        labels = '' if published.k is None else f', k = {published.k}'
        notes.append(f'Published (in italics): {published.title}{labels}. {published.source}')
        notes += [] if published.note is None else [published.note]
    notes += [f'{name} failed: {error}' for name, error in plan.failed().items()]
    return notes


def describe_head(work: dict[str, Any]) -> list[str]:
    """Title, date, command, versions and commit, above the tables."""
    versions = ', '.join(f'{name} {version}' for name, version in work['versions'].items())
    git = work['git']
    state = '' if git is None else f' Commit {git["commit"]}'
    state += ', with changes.' if git and git['changed'] else '.' if git else ''
    return ['# Tables', f'{work["date"]}: `{work["command"]}`. {versions}.{state}']


def _list(values: Sequence[int]) -> str:
    return ', '.join(map(str, values))


def _keys_as_text(cells: dict[float, Any]) -> dict[str, Any]:
    return {f'{factor:g}': cell for factor, cell in cells.items()}
