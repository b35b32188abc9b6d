# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Time searches for label paths side by side: loops, textbook, transformers, and this project's.

Varies one axis at a time around 81 labels, 5 beams and 64 images a batch. ``--split`` times a whole
split with the trie's warm-up included, and ``--exactness`` compares beams with the proven best
path; with either, the grid is left out unless ``--grid`` asks for it.
"""

import argparse
from dataclasses import asdict
from itertools import product
from pathlib import Path

import torch
from forward_times import forward_times
from grid import run_config
from head_store import HeadStore
from machine import describe_run, physical_cores
from methods import METHODS, Method, missing_extra
from plotting import plot_scaling
from points import make_configs
from reporting import print_exactness, print_grid, print_split, write_csv, write_json
from rich.console import Console
from whole_split import exactness, time_split

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.errors import UsageError

EXACTNESS_BEAMS = (1, 2, 5, 10)
TABLE_WIDTH = 180  # for rows on one line, whatever the terminal


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--labels', type=int, nargs='+', default=[20, 81, 260, 1000], help='C (%(default)s)')
    add('--beams', type=int, nargs='+', default=[1, 2, 5, 10, 50], help='B (%(default)s)')
    add('--batches', type=int, nargs='+', default=[1, 64, 256], help='N (%(default)s)')
    add('--weights', nargs='+', choices=['random', 'trained'], default=['random', 'trained'])
    add(
        '--methods',
        nargs='+',
        choices=list(METHODS),
        default=list(METHODS),
        metavar='METHOD',
        help=f'all by default: {", ".join(METHODS)}',
    )
    add('--repeats', type=int, default=5, help='timings of each method (%(default)s)')
    add('--budget', type=float, default=5.0, help='most seconds a method and point (%(default)s)')
    add('--full-grid', action='store_true', help='the product of labels, beams and batches')
    add('--grid', action='store_true', help='run the grid beside --split and --exactness')
    add('--split', type=int, metavar='N', help='time N held-out images from an empty trie')
    add('--exactness', action='store_true', help='compare beams with the proven best path')
    add('--no-backbones', action='store_true', help='leave out the forward times of backbones')
    add('--embed-dims', type=int, default=64, help='D (%(default)s)')
    add('--hidden-dims', type=int, default=512, help='H (%(default)s)')
    add('--recurrent', choices=['lstm', 'gru', 'relu_lstm', 'none'], default='lstm')
    add(
        '--features',
        nargs=2,
        metavar=('TRAIN', 'HELD_OUT'),
        help='folders that tools/extract_features.py wrote; without them the data is generated',
    )
    add('--epochs', type=int, default=8, help='of training (%(default)s)')
    add('--seed', type=int, default=0)
    add('--device', default='cpu', help='cpu or cuda (%(default)s)')
    add('--threads', type=int, default=physical_cores(), help='of torch (%(default)s)')
    add('--out', type=Path, default=Path('work_dirs/benchmarks/search'), help='(%(default)s)')
    return parser.parse_args(arguments)


def run(args: argparse.Namespace, console: Console) -> dict:
    """Measure what the arguments ask for, and write it to ``args.out``."""
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    heads = HeadStore(
        args.out,
        None if args.features is None else tuple(args.features),
        args.embed_dims,
        args.hidden_dims,
        args.recurrent,
        args.seed,
        args.epochs,
        device,
    )
    notes, methods = [], [METHODS[key] for key in METHODS if key in args.methods]
    if 'hugging_face' in args.methods and (reason := missing_extra()) is not None:
        methods = [method for method in methods if method.key != 'hugging_face']
        notes.append(f'{METHODS["hugging_face"].name}: {reason}')
    args.labels = _possible_labels(args.labels, heads, notes)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    content = {
        'run': describe_run(device),
        'options': {key: str(v) if isinstance(v, Path) else v for key, v in vars(args).items()},
        'data': heads.get('random', args.labels[0]).source,
        'notes': notes,
    }
    if args.split is not None:
        content['split'] = _run_split(args, console, heads, methods)
    if args.exactness:
        content['exactness'] = _run_exactness(args, console, heads)
    if args.grid or (args.split is None and not args.exactness):
        content['grid'] = _run_grid(args, console, heads, methods, device)
    content['training_loss'] = heads.losses()
    write_json(args.out / 'search.json', content)
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    return content


def _possible_labels(labels: list[int], heads: HeadStore, notes: list[str]) -> list[int]:
    """The numbers of labels that the data has; what is left out is noted."""
    possible, last = [], None
    for count in labels:
        try:
            heads.get('random', count)
            possible.append(count)
        except UsageError as error:
            notes.append(f'{count} labels: not run: {error}')
            last = error
    if not possible:
        raise last
    return possible


def _run_split(
    args: argparse.Namespace, console: Console, heads: HeadStore, methods: list[Method]
) -> list[dict]:
    rows = []
    for weights, labels, beams in product(args.weights, args.labels, args.beams):
        ready = heads.get(weights, labels)
        rows += time_split(weights, labels, beams, ready, methods, args.split, args.repeats)
    print_split(console, rows)
    write_csv(args.out / 'split.csv', rows)
    return [asdict(row) for row in rows]


def _run_exactness(args: argparse.Namespace, console: Console, heads: HeadStore) -> list[dict]:
    rows = []
    for labels in args.labels:
        rows += exactness(labels, EXACTNESS_BEAMS, heads.get('trained', labels))
    print_exactness(console, rows)
    write_csv(args.out / 'exactness.csv', rows)
    return [asdict(row) for row in rows]


def _run_grid(
    args: argparse.Namespace,
    console: Console,
    heads: HeadStore,
    methods: list[Method],
    device: torch.device,
) -> list[dict]:
    axes = (args.labels, args.beams, args.batches)
    images = len(heads.get('random', args.labels[0]).features)
    if max(args.batches) >= images:
        raise UsageError(
            f'--batches {max(args.batches)}: there are {images} held-out images, and some must be '
            f'left to warm the trie: ask for fewer'
        )
    times = {} if args.no_backbones else forward_times(args.batches, device)
    rows = []
    for config in make_configs(args.weights, *axes, args.full_grid):
        ready = heads.get(config.weights, config.num_labels)
        new = run_config(config, ready, methods, args.repeats, args.budget, times)
        print_grid(console, new)
        rows += new
    write_csv(args.out / 'grid.csv', rows)
    for weights in args.weights:
        plot_scaling(
            args.out / f'scaling_{weights}.png',
            [row for row in rows if row.weights == weights],
            asdict(make_configs([weights], *axes, False)[0]),
            f'Search time, {weights} weights, {args.recurrent.upper()} {args.hidden_dims}, '
            f'{args.device}, threads: {args.threads}; band: fastest to slowest repeat',
        )
    return [asdict(row) for row in rows]


def main() -> None:
    """Run the command."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        run(args, Console(width=max(console.width, TABLE_WIDTH)))


if __name__ == '__main__':
    main()
