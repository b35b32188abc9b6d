# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a large label list costs: memory and time of a dataset, of metrics, and of a head.

Label sets of 5 labels on average are drawn, a few labels frequent and most rare. Storage: the table
that readers give, the dataset that the host keeps serialised, and the label order. Workers: what a
data-loading process has of its own after reading every annotation. Metrics: what they hold and
need. Head: a training step and a beam search for each number of labels. Each row is a process of
its own with one thread; times are the processor's.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from machine import describe_run
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.errors import UsageError

__all__ = ['main', 'parse_args']

ROWS_SCRIPT = Path(__file__).with_name('label_memory_rows.py')
METRICS = ('LabelSetMetric', 'RankingMetric')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--images', type=int, default=1_000_000, help='of the dataset (%(default)s)')
    add('--metric-images', type=int, default=1000, help='for the metrics (%(default)s)')
    add('--labels', type=int, default=10_000, help='C (%(default)s)')
    add('--head-labels', type=int, nargs='+', default=[100, 1000, 10_000], help='(%(default)s)')
    add('--seed', type=int, default=0, help='(%(default)s)')
    add('--out', type=Path, help='JSON file for the figures')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and save."""
    args = parse_args(arguments)
    with report_usage_errors():
        for name in ('images', 'metric_images', 'labels', *range(len(args.head_labels))):
            value = args.head_labels[name] if isinstance(name, int) else getattr(args, name)
            if value < 1:
                raise UsageError(f'a number of images or labels is {value}: use 1 or more')
        console = Console(width=110)
        storage = _measure('storage', args.images, args.labels, args.seed)
        console.print(_storage_table(storage, args.images, args.labels))
        workers = _measure('workers', args.images, args.labels, args.seed)
        for name, megabytes in workers.items():
            console.print(f'a worker of its own after reading all, {name}: {megabytes:.0f} MB')
        metrics = {
            name: _measure(name, args.metric_images, args.labels, args.seed) for name in METRICS
        }
        console.print(_metric_table(metrics, args.metric_images, args.labels))
        heads = {
            count: _measure('head', args.metric_images, count, args.seed)
            for count in args.head_labels
        }
        console.print(_head_table(heads))
        if args.out is not None:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            record = dict(
                run=describe_run(torch.device('cpu')),
                options={**vars(args), 'out': str(args.out)},
                **dict(storage=storage, workers=workers, metrics=metrics, heads=heads),
            )
            args.out.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


def _measure(row: str, *numbers: int) -> dict:
    command = [sys.executable, '-W', 'ignore', str(ROWS_SCRIPT), row, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(
            f'the row {row} ended with status {done.returncode}; with too little memory use fewer '
            f'--images: {done.stderr.strip().splitlines()[-1:]}'
        )
    return json.loads(done.stdout.splitlines()[-1])


def _storage_table(found: dict, images: int, labels: int) -> Table:
    table = Table(title=f'{images:,} images, {found["label_count"]:,} of {labels:,} labels')
    for name in ('', 'MB after', 'MB at most', 'bytes an image', 'CPU s'):
        table.add_column(name, justify='left' if not name else 'right')
    plain = dict(
        one_hot_bytes='one byte a label (arithmetic)',
        csr_bytes='int32 ids and int64 starts',
        serialised_bytes="the host's serialised annotations",
    )
    for key, name in plain.items():
        table.add_row(name, f'{found[key] / 2**20:,.0f}', '', f'{found[key] / images:,.0f}', '')
    for name, step in found['steps'].items():
        figures = (step['after'], step['peak'], step['peak'] * 2**20 / images, step['cpu'])
        table.add_row(f'process, {name}', *(f'{value:,.1f}' for value in figures))
    table.caption = f'get_data_info of a random image: {found["get_microseconds"]:.0f} us'
    return table


def _metric_table(found: dict, images: int, labels: int) -> Table:
    table = Table(title=f'metrics of {images:,} images, {labels:,} labels')
    for name in ('', 'MB held', 'MB at most', 'CPU s'):
        table.add_column(name, justify='left' if not name else 'right')
    for name, steps in found.items():
        compute = steps['compute']
        figures = (steps['collect']['after'], compute['peak'], compute['cpu'])
        table.add_row(name, *(f'{value:,.1f}' for value in figures))
    return table


def _head_table(found: dict[int, dict]) -> Table:
    first = next(iter(found.values()))
    table = Table(title=f'head alone, {first["batch"]} images a step, beam of 5')
    for name in ('labels', 'parameters', 'training MFLOP', 'training ms', 'search ms'):
        table.add_column(name, justify='right')
    for count, one in found.items():
        table.add_row(
            f'{count:,}',
            f'{one["parameters"]:,}',
            f'{one["train_flops"] / 1e6:,.0f}',
            f'{one["train_milliseconds"]:.1f}',
            f'{one["search_milliseconds"]:.1f}',
        )
    return table


if __name__ == '__main__':
    main()
