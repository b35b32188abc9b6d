# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label photos with a trained checkpoint.

PHOTOS are files, folders (their photos, without the folders in them), patterns such as
'trip/**/*.jpg', or http(s) addresses. A photo that can't be read is reported and passed over; the
exit status is then 1, and 0 if all were read. With --out nothing is written unless the run ends.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnrnn_mm.apis.command_line import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions
from cnnrnn_mm.apis.inferencer import MultiLabelInferencer
from cnnrnn_mm.apis.photo_inputs import list_photos
from cnnrnn_mm.apis.prediction_files import check_prediction_file, write_predictions
from cnnrnn_mm.apis.prediction_table import PredictionTable
from cnnrnn_mm.datasets.class_list import class_list


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('photos', nargs='+', metavar='PHOTOS', help='files, folders, patterns or addresses')
    add('--checkpoint', required=True, help='file or address of the trained weights')
    add('--config', help="the run's config; default: the one inside the checkpoint")
    add('--classes', help='file with one class name a line; default: those of the checkpoint')
    add('--device', help='cpu, cuda, cuda:1, ...; default: a GPU where there is one')
    add('--batch-size', type=int, help="default: the test dataloader's")
    add('--workers', type=int, help="processes that read photos; default: the test dataloader's")
    add('--require', nargs='+', metavar='NAME', default=[], help='labels that must be there')
    add('--forbid', nargs='+', metavar='NAME', default=[], help='labels that must not be there')
    add('--prefix', nargs='+', metavar='NAME', default=[], help='labels that the path begins with')
    add('--out', type=Path, metavar='FILE', help='write .jsonl or .csv')
    add('--out-dir', type=Path, metavar='FOLDER', help='draw each photo with its prediction')
    add(
        '--top',
        type=int,
        metavar='K',
        help='labels with marginal scores; default: 5 on the terminal, all in --out',
    )
    add('--rows', type=int, default=20, help='most photos on the terminal (%(default)s)')
    add(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value',
    )
    args = parser.parse_args()
    for name in ('top', 'rows'):
        value = getattr(args, name)
        if value is not None and value < 0:
            parser.error(f'--{name} is {value}: set it to 0 or more')
    return args


def watch(records: Iterable[dict], table: PredictionTable, total: int) -> Iterator[dict]:
    """Hand records on, with a progress bar on the error stream."""
    columns = (
        TextColumn('Reading photos'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('', total=total)
        for record in records:
            table.add(record)
            progress.advance(task)
            yield record


def main() -> int:
    """Predict, show and write."""
    args = parse_args()
    with report_usage_errors():
        photos = list_photos(args.photos)
        classes = class_list(args.classes)
        inferencer = MultiLabelInferencer.from_checkpoint(
            args.checkpoint, args.config, args.device, classes, args.cfg_options
        )
        if args.out is not None:
            check_prediction_file(args.out, inferencer.classes)
        named = dict(required=args.require, forbidden=args.forbid, prefix=args.prefix)
        constraints = {key: labels for key, labels in named.items() if labels}
        records: Any = inferencer.stream(
            photos,
            batch_size=args.batch_size,
            num_workers=args.workers,
            constraints=constraints or None,
            num_marginals=args.top,
            on_error='report',
            show_dir=args.out_dir,
        )
        table = PredictionTable(args.rows, 5 if args.top is None else args.top)
        watched = watch(records, table, len(photos))
        if args.out is None:
            for _ in watched:
                pass
        else:
            write_predictions(args.out, watched)
        table.show(Console())
        for place in (args.out, args.out_dir):
            if place is not None:
                Console().print(f'Written to {place}', markup=False, soft_wrap=True)
        table.show_errors(Console(stderr=True))
        return 1 if table.failed else 0


if __name__ == '__main__':
    raise SystemExit(main())
