# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The command line of a comparison."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import MMLogger
from rich.console import Console

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions
from cnnrnn_mm.errors import UsageError

from .measure import Measure
from .plan import Comparison, make_comparison
from .results import RESULTS, write_results
from .row_files import RowFiles

__all__ = ['MeasureOf', 'make_parser', 'quieten', 'read_args', 'run_comparison']

#: Makes what a comparison measures beside the figures of all, or None.
MeasureOf = Callable[[argparse.Namespace, Comparison], Measure | None]
#: With --fast: options of the config, resamples, samples.
FAST = {'train_cfg.max_epochs': 1}
FAST_RESAMPLES, FAST_SAMPLES = 50, 32


def make_parser(
    about: str | None, config: str, files: RowFiles, out: Path, baseline: str
) -> argparse.ArgumentParser:
    """The options that all comparisons have.

    Args:
        about: What the tool does.
        config: What CONFIG is.
        files: The rows to choose from.
        out: The folder for results of val.
        baseline: The row that others are paired with, unless another is named.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help=config)
    add('--features', metavar='FOLDER', help='its cached features (tools/extract_features.py)')
    add(
        '--rows',
        nargs='+',
        default=list(files.default),
        help=f'names, or files like those in comparison/{files.folder.name}/ (%(default)s)',
    )
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='(%(default)s)')
    add('--split', choices=['val', 'test'], default='val', help='(%(default)s)')
    add('--baseline', default=baseline, help='the row that others are paired with (%(default)s)')
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
    add('--cfg-options', nargs='+', action=ConfigOptions, help='entries to override in all rows')
    add('--fast', action='store_true', help='one epoch and few samples, to see that all runs')
    add('--out', type=Path, help=f'({out}, or {out}_test)')
    return parser


def read_args(
    parser: argparse.ArgumentParser, arguments: list[str] | None, out: Path
) -> argparse.Namespace:
    """Read and check the command line; ``out`` is the folder for results of val."""
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
        args.out = out if args.split == 'val' else out.with_name(f'{out.name}_test')
    for name in ('seeds', 'rows', 'lr_factors'):
        value = getattr(args, name)
        setattr(args, name, value and list(dict.fromkeys(value)))
    return args


def quieten() -> None:
    """Let the host log warnings only: its functions use the newest logger."""
    MMLogger.get_instance(f'comparison_{time.time_ns()}', log_level='WARNING')


def run_comparison(
    args: argparse.Namespace,
    files: RowFiles,
    console: Console,
    measure_of: MeasureOf | None = None,
) -> int:
    """Train what is missing and write the tables; the exit status is 1 where a run failed."""
    quieten()
    with report_usage_errors():
        _check_folder(args.out, args.split)
        comparison = make_comparison(args, files)
        if measure_of is not None:
            comparison.measure = measure_of(args, comparison)
        failed = comparison.perform(args, console)
        write_results(args, comparison, console)
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    if failed:
        console.print(f'{failed} runs failed; called again, the command makes these alone')
    return 1 if failed else 0


def _check_folder(out: Path, split: str) -> None:
    """Keep the results of val and test apart."""
    try:
        before = json.loads((out / RESULTS).read_text(encoding='utf-8')).get('split')
    except (OSError, ValueError):
        return
    if before != split:
        raise UsageError(f'{out} holds results of {before}: give those of {split} another --out')
