# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Put the logs of a comparison into one file that can be published.

FOLDER is what ``accuracy.py`` or ``regions.py`` wrote (``--out``). The file gets one line of JSON a
run: row, seed, date, versions, machine, seconds, the mean of each loss in each epoch, and all
figures; no paths.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from rich.console import Console

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.errors import UsageError

KEPT = ('lr_factor', 'seconds', 'cpu_seconds', 'date', 'versions', 'machine')
FIGURES = ('figures', 'completion')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'folder', metavar='FOLDER', nargs='+', type=Path, help='later ones replace equal runs'
    )
    parser.add_argument('--out', required=True, type=Path, help='the file (.jsonl)')
    return parser.parse_args(arguments)


def read_runs(folder: Path) -> list[dict]:
    """The runs below a folder, by row and seed.

    Raises:
        UsageError: If there are none, or a file of them can't be read.
    """
    runs = [read_run(one) for one in sorted(folder.glob('*/*/seed*')) if one.is_dir()]
    if not runs:
        raise UsageError(f'{folder} holds no runs: name what accuracy.py or regions.py wrote')
    # One that has neither a record nor figures is still running, or failed.
    done = [run for run in runs if 'date' in run or 'figures' in run]
    return sorted(done, key=lambda run: (run['row'], run['seed']))


def read_run(folder: Path) -> dict:
    """What is kept of one run."""
    run = {'config': folder.parts[-3], 'row': folder.parts[-2], 'seed': int(folder.name[4:])}
    record = read_json(folder / 'record.json').get('training', {})
    run.update({key: record[key] for key in KEPT if key in record})
    run['losses'] = mean_losses(folder)
    figures = read_json(folder / 'figures.json')
    run.update({key: figures[key] for key in FIGURES if key in figures})
    return run


def mean_losses(folder: Path) -> list[dict[str, float]]:
    """The mean of each loss in each epoch of the last training in a run's folder."""
    logs = sorted(folder.glob('*/vis_data/scalars.json'))
    epochs: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in logs[-1].read_text(encoding='utf-8').splitlines() if logs else []:
        entry = json.loads(line)
        for name, value in entry.items():
            if name.startswith('loss') and 'epoch' in entry:
                epochs[entry['epoch']][name].append(value)
    return [
        {'epoch': epoch, **{name: round(fmean(values), 5) for name, values in losses.items()}}
        for epoch, losses in sorted(epochs.items())
    ]


def read_json(path: Path) -> dict:
    """The content of a file, {} where there is none (a derived row has no training)."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f'cannot read {path} ({error}): run the comparison again') from None


def main(arguments: list[str] | None = None) -> int:
    """Write the file; the exit status is 0."""
    args = parse_args(arguments)
    with report_usage_errors():
        found = [run for folder in args.folder for run in read_runs(folder)]
        # Of a run that several folders hold, the last one's.
        runs = list({(run['config'], run['row'], run['seed']): run for run in found}.values())
        text = ''.join(json.dumps(run) + '\n' for run in runs)
        write_whole(args.out, lambda unfinished: unfinished.write_text(text, encoding='utf-8'))
    Console().print(f'{len(runs)} runs in {args.out}', markup=False, soft_wrap=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
