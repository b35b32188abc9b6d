# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Time an epoch on features: the recurrent layer once for each distinct prefix, or padded.

Plain is one padded call of the recurrent layer a batch (``share_prefixes=False``), shared the
head's default. Both run side by side from equal weights; an epoch is forward, loss, backward,
clipping and optimiser step over all images, without reading them.
"""

import argparse
import json
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
from machine import describe_run, physical_cores
from measuring import Case, time_side_by_side
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from teacher_forcing import (
    count_tokens,
    largest_differences,
    make_heads,
    make_optimizer,
    run_epoch,
    split_times,
)
from training_data import TrainingData, load_data

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.datasets.transforms.order_labels import ORDERS

#: Relative to the scale of loss and gradient; float32 sums in another order differ by less.
TOLERANCE = 1e-5
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}
TABLE_WIDTH = 160  # for rows on one line, whatever the terminal
CPU = torch.device('cpu')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        '--features',
        help='folder that tools/extract_features.py wrote; without it the data is generated',
    )
    add('--images', type=int, help='use the first images only (all)')
    add('--labels', type=int, default=260, help='C of generated data (%(default)s)')
    add('--order', choices=ORDERS, default='frequent_first', help='of the labels (%(default)s)')
    add('--batch-sizes', type=int, nargs='+', default=[32, 128, 512, 4000], help='(%(default)s)')
    add('--embed-dims', type=int, nargs='+', default=[64, 512], help='D (%(default)s)')
    add('--hidden-dims', type=int, nargs='+', default=[512, 256], help='H beside D (%(default)s)')
    add('--recurrent', nargs='+', choices=['lstm', 'gru', 'relu_lstm'], help='(all)')
    add('--dropout', type=float, default=0.3, help='while timing (%(default)s)')
    add('--repeats', type=int, default=5, help='timed epochs of each way (%(default)s)')
    add('--threads', type=int, default=physical_cores(), help='of torch (%(default)s)')
    add(
        '--clock',
        choices=list(CLOCKS),
        default='wall',
        help='cpu: of all threads, for one thread on a machine that others use (%(default)s)',
    )
    add('--seed', type=int, default=0)
    add('--out', type=Path, default=Path('work_dirs/benchmarks/training'), help='(%(default)s)')
    parser.set_defaults(recurrent=['lstm', 'gru', 'relu_lstm'])
    args = parser.parse_args(arguments)
    if len(args.embed_dims) != len(args.hidden_dims):
        parser.error('--embed-dims and --hidden-dims go in pairs: give as many of one as the other')
    images = 1 if args.images is None else args.images
    counts = args.repeats, args.threads, args.labels, images, *args.batch_sizes
    if min(counts) < 1:
        parser.error('--repeats, --threads, --labels, --images and --batch-sizes are at least 1')
    return args


def measure(
    data: TrainingData, args: argparse.Namespace, batch_size: int, dims: tuple, recurrent: str
) -> dict:
    """One row: both ways on one point of the grid."""
    exact = make_heads(data, *dims, recurrent, 0.0, args.seed)
    apart = largest_differences(list(exact.values()), data, batch_size, args.seed)
    heads = make_heads(data, *dims, recurrent, args.dropout, args.seed)
    optimizers = {way: make_optimizer(head) for way, head in heads.items()}
    epoch, clock = (data, batch_size, args.seed), CLOCKS[args.clock]
    times, parts = {way: [] for way in heads}, {way: [] for way in heads}

    def run_way(way: str) -> None:
        begin = clock()
        run_epoch(heads[way], optimizers[way], *epoch)
        times[way].append(1e3 * (clock() - begin))

    for head in heads.values():  # not timed: the first calls of a process are slow
        split_times(head, *epoch)
    time_side_by_side([Case(partial(run_way, way), repeats=args.repeats) for way in heads], CPU)
    for _, (way, head) in product(range(min(3, args.repeats)), heads.items()):
        parts[way].append(split_times(head, *epoch, clock))
    return {
        'batch_size': batch_size,
        'embed_dims': dims[0],
        'hidden_dims': dims[1],
        'recurrent': recurrent,
        **{
            f'{way}_{name}': pick(times[way])
            for way in times
            for name, pick in (('ms', median), ('ms_min', min), ('ms_max', max))
        },
        'ratio': median(a / b for a, b in zip(times['plain'], times['shared'], strict=True)),
        **{
            f'{way}_{part}_ms': 1e3 * median(one[place] for one in parts[way])
            for way in parts
            for place, part in enumerate(('recurrent', 'rest'))
        },
        **vars(count_tokens(*epoch)),
        **apart,
        'equal': max(apart['loss_relative'], apart['gradient_relative']) < TOLERANCE,
    }


def make_table(rows: list[dict], source: str, clock: str) -> Table:
    """The rows for the console; ratios above 1 mean that sharing prefixes is faster."""
    title = f'An epoch on {source}: median ms ({clock} time)'
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD)
    for column in (
        *('layer', 'D', 'H', 'batch', 'plain', 'shared', 'plain/shared'),
        *('recurrent: plain', 'shared', 'rest: plain', 'shared'),
        *('padded', 'valid', 'prefixes', 'loss differs', 'gradient differs, of its scale', 'max'),
    ):
        table.add_column(column, justify='left' if column == 'layer' else 'right')
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ('recurrent', 'embed_dims', 'hidden_dims', 'batch_size')),
            f'{row["plain_ms"]:.0f}',
            f'{row["shared_ms"]:.0f}',
            f'{row["ratio"]:.2f}',
            *(
                f'{row[f"{way}_{part}_ms"]:.0f}'
                for part in ('recurrent', 'rest')
                for way in ('plain', 'shared')
            ),
            *(str(row[key]) for key in ('padded', 'valid', 'prefixes')),
            f'{row["loss_relative"]:.0e}',
            f'{row["gradient_relative"]:.0e}',
            f'{row["gradient_absolute"]:.0e}',
        )
    return table


def run(args: argparse.Namespace, console: Console) -> list[dict]:
    """Measure the grid and write it to ``args.out``."""
    torch.set_num_threads(args.threads)
    data = load_data(args.features, args.labels, args.order, args.seed, args.images)
    sizes = dict.fromkeys(min(one, len(data.samples)) for one in args.batch_sizes)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for dims, recurrent, size in product(
        zip(args.embed_dims, args.hidden_dims, strict=True), args.recurrent, sizes
    ):
        rows.append(measure(data, args, size, dims, recurrent))
        console.print(make_table(rows[-1:], data.source, args.clock))
        content = {
            'run': describe_run(CPU),
            'options': {**vars(args), 'out': str(args.out)},
            'data': dict(source=data.source, images=len(data.samples), labels=data.num_labels),
            'rows': rows,
        }
        (args.out / 'training.json').write_text(json.dumps(content, indent=2) + '\n')
    console.print(make_table(rows, data.source, args.clock))
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    return rows


def main() -> int:
    """Run the command; the exit status is 1 where the two ways do not agree."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        rows = run(args, Console(width=max(console.width, TABLE_WIDTH)))
        apart = sum(not row['equal'] for row in rows)
    if apart:
        console.print(
            f'{apart} of {len(rows)} rows: loss or gradients differ by {TOLERANCE} or more'
        )
    return 1 if apart else 0


if __name__ == '__main__':
    sys.exit(main())
