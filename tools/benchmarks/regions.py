# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""RLSD beside CNN-RNN and models of independent labels, on one cache of maps, in one command.

CONFIG is an RLSD config; it stands for data, batches, schedule, optimiser, weight averaging, label
decoder and marginal branch, which all rows share unless a row in comparison/region_rows/ says
otherwise. Beside the figures of accuracy.py there is the recall of labels by the area of their
largest object, from the dataset's gt_area. --cost measures time and memory of training instead.
See docs/rlsd.md.
"""

import argparse
import sys
from pathlib import Path

from comparison.areas import area_groups, class_group, recall_measure
from comparison.command import make_parser, quieten, read_args, run_comparison
from comparison.cost import measure_cost
from comparison.measure import Measure
from comparison.plan import Comparison
from comparison.regions import REGION_ROWS, check_region_config
from rich.console import Console
from tables.plan import open_config

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.results import read_truth
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.datasets.cached_features import read_meta
from cnnrnn_mm.errors import UsageError

OUT = Path('work_dirs/regions')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, 'an RLSD config', REGION_ROWS, OUT, 'cnn-rnn')
    add = parser.add_argument
    add(
        '--area-limits',
        type=float,
        nargs=2,
        default=[5.0, 25.0],
        metavar=('SMALL', 'LARGE'),
        help='percent of the image: below is small, above is large (%(default)s)',
    )
    add('--small-classes', nargs='+', help='classes whose recall is a column of its own')
    add(
        '--cost',
        type=int,
        nargs='*',
        metavar='B',
        help='instead of training: time and memory of a step with so many regions (10 50 100)',
    )
    add('--repeats', type=int, default=10, help='timed steps of --cost (%(default)s)')
    args = read_args(parser, arguments, OUT)
    if args.cost == []:
        args.cost = [10, 50, 100]
    low, high = args.area_limits
    if not 0 < low <= high < 100:
        parser.error('--area-limits are above 0 and below 100, and do not descend')
    if args.repeats < 1 or min(args.cost or [1]) < 1:
        parser.error('--cost and --repeats are at least 1')
    if args.cost and args.features is None:
        parser.error('--cost is measured on maps: give --features')
    return args


def check_maps(features: str | None) -> None:
    """Refuse features that are vectors."""
    if features is None:
        return
    shape = read_meta(Path(features) / 'train')['shape']
    if len(shape) != 5:
        raise UsageError(
            f'{features} holds vectors of {shape[-1]} channels, and regions are on maps: make it '
            'anew from a config with RegionLocalizationNeck, or without a neck'
        )


def measure_of(args: argparse.Namespace, comparison: Comparison) -> Measure | None:
    """Recall by area and of the named classes; None where the split has no areas."""
    dataset = build_split_dataset(open_config(args.config), comparison.data.split)
    truth = read_truth(dataset)
    groups, notes = {}, []
    limits = [one / 100 for one in args.area_limits]
    if truth.areas is not None:
        groups = area_groups(truth.target, truth.areas, limits)
        low, high = args.area_limits
        notes.append(
            f'The largest object of the label covers below {low:g} % of the image (small), '
            f'{low:g} to {high:g} % (medium), above {high:g} % (large).'
        )
    if args.small_classes:
        name = ' + '.join(args.small_classes)
        groups[name] = class_group(truth.target, truth.classes, args.small_classes)
    if not groups:
        return None
    counts = ', '.join(f'{name}: {int(pairs.sum())}' for name, pairs in groups.items())
    notes.append(
        f'Pairs of an image and one of its labels: {counts}. Share of them in pred_label; with a '
        'star, in the set of the threshold for O-F1.'
    )
    return recall_measure(groups, 'recall by area of the object', notes)


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Train what is missing and write the tables; the exit status is 1 where a run failed."""
    args = parse_args(arguments)
    console = console or Console(file=sys.stdout)
    quieten()
    with report_usage_errors():
        cfg = open_config(args.config)
        check_region_config(cfg, args.config)
        check_maps(args.features)
        if args.cost:
            measure_cost(args, cfg, console)
            return 0
    return run_comparison(args, REGION_ROWS, console, measure_of)


if __name__ == '__main__':
    sys.exit(main())
