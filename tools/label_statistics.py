# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Count the label sets of a dataset: classes, set sizes, pairs, and how much labels tell of others.

No image is read. How to read the tables and figures is in docs/data_tools.md.
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions, read_config
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.apis.label_report import dataset_statistics, write_report
from cnnrnn_mm.apis.label_tables import print_report
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.datasets.statistics.report import label_report


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument('--ann', help="instead of a config: a JSON file of MultiLabelDataset's")
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--out', help='folder for statistics.json and the figures')
    parser.add_argument('--top', type=int, default=20, help='most rows of a table')
    parser.add_argument('--seed', type=int, default=0, help='draws the held-out folds')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    args = parser.parse_intermixed_args()
    if (args.config is None) == (args.ann is None):
        parser.error('give either a config or --ann FILE.json')
    if args.top < 1:
        parser.error('--top must be at least 1')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """The config, or one that has the file as its only dataset."""
    if args.config is None:
        dataset = dict(type='MultiLabelDataset', ann_file=args.ann, pipeline=[])
        return Config({f'{args.split}_dataloader': dict(dataset=dataset)})
    return read_config(args.config, args.cfg_options)


def main() -> None:
    """Count, print, write."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        out = None if args.out is None else make_out_folder(args.out)
        dataset = build_split_dataset(load_config(args), args.split)
        statistics = dataset_statistics(dataset, seed=args.seed)
        what = f'{Path(args.config).stem}, {args.split}' if args.config else Path(args.ann).name
        title = f'{what}: {statistics.num_images:,} images'
        report = {'source': what, **label_report(statistics)}
        console.rule(title)
        print_report(report, console, args.top)
        written = [] if out is None else write_report(statistics, report, out, title)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False, highlight=False)


if __name__ == '__main__':
    main()
