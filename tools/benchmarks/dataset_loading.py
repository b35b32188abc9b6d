# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Time and memory of a dataset of NUS-WIDE's size: its start, its label order, ordering it.

The official files of 209,347 photos are written to a temporary folder, from the label sets of
--label-sets or from drawn ones. Each row is a process of its own. A plain way stands beside each of
ours: numpy.loadtxt for the files, and the host's get_data_info for each image.
"""

# Not datasets.py: a tool's folder is the first place where Python looks for modules, and
# transformers, which another benchmark runs, looks for one of that name.
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from machine import describe_run
from nus_wide_folder import draw_label_sets, read_label_sets, write_nus_wide
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import report_usage_errors

#: Of time in seconds and memory in MB, as this project promises.
LIMITS = {'start': (10, 500), 'count and order': (5, 500)}
ROWS = {
    'ours': 'NUSWide, LabelOrderHook, OrderLabels',
    'images': 'the same, with images looked for on disk',
    'plain': 'numpy.loadtxt, get_data_info, check_labels for each image',
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--label-sets', help='JSON file {"classes": [...], "labels": [[...], ...]}')
    parser.add_argument('--images', type=int, help='use the first label sets only (all)')
    parser.add_argument(
        '--photos', action='store_true', help='make empty image files too, and look for them'
    )
    parser.add_argument('--seed', type=int, default=0, help='of drawn label sets (%(default)s)')
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help='which time the limits are for; cpu on a machine that others use (%(default)s)',
    )
    parser.add_argument('--out', type=Path, help='JSON file for the figures')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Write the files, measure, print and save."""
    args = parse_args(arguments)
    with report_usage_errors(), tempfile.TemporaryDirectory() as folder:
        if args.label_sets is None:
            classes, labels = draw_label_sets(args.seed)
        else:
            classes, labels = read_label_sets(args.label_sets)
        labels = labels[: args.images]
        root = Path(folder)
        paths = write_nus_wide(root, classes, labels)
        if args.photos:
            for path in paths:
                (root / 'Flickr' / path).parent.mkdir(parents=True, exist_ok=True)
                (root / 'Flickr' / path).touch()
        found = {row: _measure(row, folder) for row in ROWS if row != 'images' or args.photos}
    if any(one['order'] != found['plain']['order'] for one in found.values()):
        raise RuntimeError('the ways do not find the same label order')
    Console(width=110).print(_table(found, len(labels), len(classes), args.clock))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        record = {'run': describe_run(torch.device('cpu')), 'images': len(labels), 'rows': found}
        args.out.write_text(json.dumps(record, indent=2) + '\n')


def _measure(row: str, folder: str) -> dict:
    """One row, in a fresh process."""
    script = Path(__file__).with_name('dataset_loading_row.py')
    printed = subprocess.check_output([sys.executable, '-W', 'ignore', script, row, folder])
    return json.loads(printed.splitlines()[-1])


def _table(found: dict[str, dict], num_images: int, num_classes: int, clock: str) -> Table:
    table = Table(title=f'{num_images:,} images, {num_classes} classes')
    for name in ('way', 'step', 'wall s', 'CPU s', 'MB at most', 'MB after', 'within limits'):
        table.add_column(name, justify='left' if name in ('way', 'step') else 'right')
    for row, result in found.items():
        for number, (step, one) in enumerate(result['steps'].items()):
            limits = LIMITS.get(step)
            within = '' if limits is None or row == 'plain' else 'no'
            if within and one[clock] < limits[0] and one['peak'] < limits[1]:
                within = 'yes'
            figures = (f'{one[key]:.2f}' for key in ('wall', 'cpu'))
            memory = (f'{one[key]:.0f}' for key in ('peak', 'after'))
            table.add_row('' if number else ROWS[row], step, *figures, *memory, within)
        table.add_section()
    return table


if __name__ == '__main__':
    main()
