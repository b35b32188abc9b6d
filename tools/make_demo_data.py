# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write the demo scenes to disk, or print the best figures that they allow."""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from cnnrnn_mm.datasets.demo_scenes import (
    DEFAULT_SPLITS,
    best_figures,
    generate_demo_scenes,
    mean_average_precision,
)
from cnnrnn_mm.errors import UsageError

READERS = {
    'joint': 'most probable set',
    'independent': 'labels above 0.5',
    'independent_tuned': 'labels above the threshold with the best O-F1',
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/demo_scenes', help='folder (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=int,
        default=50,
        help='side of a scene in pixels; the digits keep their size (default: %(default)s)',
    )
    for split, count in DEFAULT_SPLITS.items():
        parser.add_argument(
            f'--{split}', type=int, default=count, help=f'{split} scenes (default: %(default)s)'
        )
    parser.add_argument(
        '--figures', action='store_true', help='only print the best possible figures'
    )
    return parser.parse_args()


def print_figures(console: Console) -> None:
    """Print what no reader of the scenes can exceed."""
    table = Table(title='Best possible figures on the demo scenes (%)')
    table.add_column('The perfect reader answers with')
    for column in ('exact match', 'O-F1', 'C-F1', 'law broken'):
        table.add_column(column, justify='right')
    for name, figures in best_figures().items():
        values = (figures.exact_match, figures.o_f1, figures.c_f1, figures.law_broken)
        table.add_row(READERS[name], *(f'{value:.2f}' for value in values))
    console.print(table)
    console.print(f'mAP of its exact probability of each label: {mean_average_precision():.2f}')


def main() -> int:
    """Run the command and return its exit status."""
    args = parse_args()
    console = Console()
    if args.figures:
        print_figures(console)
        return 0
    splits = {split: getattr(args, split) for split in DEFAULT_SPLITS}
    try:
        root = generate_demo_scenes(args.out, splits, args.seed, size=args.size)
    except UsageError as error:
        Console(stderr=True).print(f'error: {error}', markup=False, soft_wrap=True)
        return 2
    console.print(f'Demo scenes ready in {root}', soft_wrap=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
