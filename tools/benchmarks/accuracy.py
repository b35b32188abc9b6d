# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""CNN-RNN models beside models of independent labels, on one feature cache, in one command.

CONFIG is the recommended config; it stands for data, batches, schedule, optimiser and weight
averaging, which all rows share unless a row in comparison/rows/ says otherwise. Thresholds are
chosen on val, and so are learning rates (--lr-factors). A run that is finished is not made again
unless something that decides its figures has changed. See docs/accuracy.md.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from comparison.plan import make_comparison
from comparison.results import RESULTS, write_results
from comparison.trainings import ROWS
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from rich.console import Console

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.errors import UsageError

OUT = Path('work_dirs/accuracy')
#: With --fast: options of the config, resamples, samples.
FAST = {'train_cfg.max_epochs': 1}
FAST_RESAMPLES, FAST_SAMPLES = 50, 32


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='the recommended config')
    add('--features', metavar='FOLDER', help='its cached features (tools/extract_features.py)')
    add(
        '--rows',
        nargs='+',
        default=list(ROWS),
        help='names, or files like those in comparison/rows/ (%(default)s)',
    )
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='(%(default)s)')
    add('--split', choices=['val', 'test'], default='val', help='(%(default)s)')
    add('--baseline', default='mlp', help='the row that others are paired with (%(default)s)')
    add('--jobs', type=int, default=1, help='trainings at a time (%(default)s)')
    add('--threads', type=int, default=1, help='of torch, for each training (%(default)s)')
    add(
        '--lr-factors',
        type=float,
        nargs='+',
        help='instead of tables: train all rows with these times the learning rate, and compare',
    )
    add('--resamples', type=int, default=1000, help='of the images (%(default)s)')
    add('--samples', type=int, default=256, help='paths drawn for an image (%(default)s)')
    add('--max-prefixes', type=int, default=720, help='followed for P(set) (%(default)s)')
    add('--known-seed', type=int, default=0, help='of all draws of the evaluation (%(default)s)')
    add('--cfg-options', nargs='+', action=DictAction, help='entries to override in all rows')
    add('--fast', action='store_true', help='one epoch and few samples, to see that all runs')
    add('--out', type=Path, help=f'({OUT}, or {OUT}_test)')
    args = parser.parse_args(arguments)
    if args.fast:
        args.cfg_options = {**FAST, **(args.cfg_options or {})}
        args.resamples, args.samples = FAST_RESAMPLES, FAST_SAMPLES
    counts = (args.jobs, args.threads, args.resamples, args.samples, args.max_prefixes)
    if min(counts) < 1:
        parser.error('--jobs, --threads, --resamples, --samples, --max-prefixes are at least 1')
    if args.lr_factors is not None and min(args.lr_factors) <= 0:
        parser.error('--lr-factors are above 0')
    if args.lr_factors is not None and args.split != 'val':
        parser.error('--lr-factors are chosen on val: leave --split out')
    if args.out is None:
        args.out = OUT if args.split == 'val' else OUT.with_name(f'{OUT.name}_test')
    for name in ('seeds', 'rows', 'lr_factors'):
        value = getattr(args, name)
        setattr(args, name, value and list(dict.fromkeys(value)))
    return args


def check_folder(out: Path, split: str) -> None:
    """Keep the results of val and test apart."""
    try:
        before = json.loads((out / RESULTS).read_text(encoding='utf-8')).get('split')
    except (OSError, ValueError):
        return
    if before != split:
        raise UsageError(f'{out} holds results of {before}: give those of {split} another --out')


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Train what is missing and write the tables; the exit status is 1 where a run failed."""
    args = parse_args(arguments)
    console = Console(file=sys.stdout) if console is None else console
    # The newest logger is the one that the host's functions use.
    MMLogger.get_instance(f'accuracy_{time.time_ns()}', log_level='WARNING')
    with report_usage_errors():
        check_folder(args.out, args.split)
        comparison = make_comparison(args)
        failed = comparison.perform(args, console)
        write_results(args, comparison, console)
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    if failed:
        console.print(f'{failed} runs failed; called again, the command makes these alone')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
