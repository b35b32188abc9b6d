# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What CNNRNNHead adds to a training step and its memory, beside MultiLabelLinearClsHead."""

import argparse
import json
import sys
from itertools import product
from pathlib import Path

import torch
from machine import describe_run, physical_cores
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from whole_step import BACKBONES, PRECISIONS, measure_pair

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.errors import UsageError

#: Most time of a step, in steps of the linear head, on a CPU at 224 pixels.
BOUNDS = {'vgg16': 1.03, 'mobilenetv2': 1.08}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--backbones', nargs='+', choices=list(BACKBONES), default=['vgg16', 'mobilenetv2'])
    add('--image-sizes', type=int, nargs='+', default=[224], help='pixels (%(default)s)')
    add('--precisions', nargs='+', choices=PRECISIONS, default=['fp32'], help='(%(default)s)')
    add('--batch-size', type=int, default=16, help='images a step (%(default)s)')
    add('--labels', type=int, default=20, help='C (%(default)s)')
    add('--repeats', type=int, default=11, help='timed steps of each head (%(default)s)')
    add('--threads', type=int, default=physical_cores(), help='of torch (%(default)s)')
    add('--hook', action='store_true', help='also time NonFiniteLossHook, beside CNN-RNN without')
    add('--device', default='cpu', help='(%(default)s)')
    add('--seed', type=int, default=0)
    add('--out', type=Path, help='JSON file for the figures')
    args = parser.parse_args(arguments)
    if min(args.batch_size, args.labels, args.repeats, args.threads, *args.image_sizes) < 1:
        parser.error('--batch-size, --labels, --repeats, --threads, --image-sizes are at least 1')
    return args


def make_table(rows: list[dict]) -> Table:
    """The rows for the console."""
    table = Table(title='A training step: median ms, and MiB', box=SIMPLE_HEAD)
    for column in ('backbone', 'side', 'precision', 'batch', 'linear', 'CNN-RNN', 'ratio'):
        table.add_column(column, justify='left' if column == 'backbone' else 'right')
    for column in ('95 %', 'images/s', 'MiB: linear', 'CNN-RNN', 'ratio'):
        table.add_column(column, justify='right')
    if 'hook_ratio' in rows[0]:
        table.add_column('hook', justify='right')
    for row in rows:
        hook = [f'{row["hook_ratio"]:.3f}'] if 'hook_ratio' in row else []
        table.add_row(
            row['backbone'],
            *(str(row[key]) for key in ('image_size', 'precision', 'batch_size')),
            *(f'{row[f"{head}_ms"]:.1f}' for head in ('linear', 'cnnrnn')),
            f'{row["ratio"]:.3f}',
            f'{row["ratio_low"]:.3f} to {row["ratio_high"]:.3f}',
            f'{row["cnnrnn_images_per_second"]:.1f}',
            *(f'{row[f"{head}_mib"]:.0f}' for head in ('linear', 'cnnrnn')),
            f'{row["memory_ratio"]:.3f}',
            *hook,
        )
    return table


def run(args: argparse.Namespace, console: Console) -> list[dict]:
    """Measure the grid, print it and write it to ``args.out``."""
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise UsageError(f'there is no device {args.device}: take --device cpu')
    rows = []
    for name, size, precision in product(args.backbones, args.image_sizes, args.precisions):
        rows.append(
            measure_pair(
                name,
                size,
                precision,
                args.batch_size,
                args.labels,
                args.repeats,
                device,
                args.seed,
                hook=args.hook,
            )
        )
        console.print(make_table(rows[-1:]))
    if len(rows) > 1:
        console.print(make_table(rows))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        options = {**vars(args), 'out': str(args.out)}
        content = dict(run=describe_run(device), options=options, rows=rows)
        args.out.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    return rows


def main() -> int:
    """Run the command; the exit status is 1 where a bound for CPUs is broken."""
    args = parse_args()
    with report_usage_errors():
        rows = run(args, Console(width=160))
    broken = [
        row
        for row in rows
        if (args.device, row['image_size'], row['precision']) == ('cpu', 224, 'fp32')
        and row['ratio_low'] > BOUNDS.get(row['backbone'], float('inf'))
    ]
    for row in broken:
        name, bound = row['backbone'], BOUNDS[row['backbone']]
        print(f'{name}: {row["ratio"]:.3f} is above {bound}', file=sys.stderr)
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
