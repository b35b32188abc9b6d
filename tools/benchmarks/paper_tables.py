# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The tables of the CNN-RNN paper: its methods, trained on the same features, in one command.

Each CONFIG is a CNN-RNN config; it stands for a data set, a backbone and a schedule. Every row is
trained on it with the same data, batches and number of epochs, and evaluated behind the last one.
What a row changes is in tables/rows/; docs/paper_tables.md has the protocols. A run that is
finished is not made again unless something that decides its figures has changed.
"""

import argparse
import sys
import time
from pathlib import Path

from mmengine.logging import MMLogger
from rich.console import Console
from tables.plan import make_plan
from tables.results import write_results
from tables.row import ROWS

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='CNN-RNN config')
    add(
        '--features',
        nargs='+',
        metavar='FOLDER',
        help='cached features of each config (tools/extract_features.py); without it, images',
    )
    add(
        '--rows',
        nargs='+',
        default=list(ROWS),
        help='names, or files like those in tables/rows/ (%(default)s)',
    )
    add('--k', type=int, nargs='+', default=[3, 5], help='labels an image (%(default)s)')
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='(%(default)s)')
    add('--split', choices=['val', 'test'], help='(val, or test where there is no val)')
    add('--published', default='auto', help="the paper's set: auto, none, or a name (%(default)s)")
    add('--jobs', type=int, default=1, help='trainings at a time (%(default)s)')
    add('--threads', type=int, default=1, help='of torch, for each training (%(default)s)')
    add(
        '--lr-factors',
        type=float,
        nargs='+',
        help='instead of tables: train all rows with these times the learning rate, and compare',
    )
    add('--cfg-options', nargs='+', action=ConfigOptions, help='entries to override in all rows')
    add('--dump-predictions', action='store_true', help='also write what each image was given')
    add('--out', type=Path, default=Path('work_dirs/paper_tables'), help='(%(default)s)')
    args = parser.parse_args(arguments)
    if min(*args.k, args.jobs, args.threads) < 1:
        parser.error('--k, --jobs and --threads are at least 1')
    if args.features is not None and len(args.features) != len(args.configs):
        parser.error('--features takes one folder for each CONFIG')
    if args.lr_factors is not None and min(args.lr_factors) <= 0:
        parser.error('--lr-factors are above 0')
    for name in ('k', 'seeds', 'rows', 'lr_factors'):
        value = getattr(args, name)
        setattr(args, name, value and list(dict.fromkeys(value)))
    return args


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Train what is missing and write the tables; the exit status is 1 where a run failed."""
    args = parse_args(arguments)
    console = Console(file=sys.stdout) if console is None else console
    # The newest logger is the one that the host's functions use.
    MMLogger.get_instance(f'paper_tables_{time.time_ns()}', log_level='WARNING')
    with report_usage_errors():
        plans = [make_plan(args, number) for number in range(len(args.configs))]
        failed = sum(plan.perform(args, console) for plan in plans)
        write_results(args, plans, console)
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    if failed:
        console.print(f'{failed} runs failed; called again, the command makes these alone')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
