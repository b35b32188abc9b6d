# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Compare tools/predict.py with tools/test.py: the same predictions, at what rate?

Both commands run as processes of their own on the same photos, the first ones of the config's test
split, in turns. What the machine does beside changes the time that passes, less so the processor
time; both are printed. The latency of single photos is measured in this process.
"""

import argparse
import json
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from machine import describe_run
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis.command_line import report_usage_errors
from cnnrnn_mm.apis.inferencer import MultiLabelInferencer
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.errors import UsageError

TOOLS = Path(__file__).resolve().parents[1]


@dataclass
class Command:
    """A command and what its runs took.

    Attributes:
        words: Behind the interpreter.
        wall: Seconds that passed, a run each.
        cpu: Processor seconds, those of its workers included.
    """

    words: list[str]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run it once."""
        before, begin = _children_seconds(), time.perf_counter()
        done = subprocess.run([sys.executable, *self.words], capture_output=True, text=True)
        self.wall.append(time.perf_counter() - begin)
        self.cpu.append(_children_seconds() - before)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise UsageError(f'{Path(self.words[0]).name} failed: {" ".join(last)}')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help="the run's config")
    add('checkpoint', help='its trained weights')
    add('--photos', type=int, default=500, help='most photos (%(default)s)')
    add('--repeats', type=int, default=3, help='runs of each command (%(default)s)')
    add('--latency', type=int, default=50, help='photos to time one by one (%(default)s)')
    add('--out', type=Path, help='JSON file for the figures')
    args = parser.parse_args(arguments)
    for name in ('photos', 'repeats', 'latency'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} is {getattr(args, name)}: set it to 1 or more')
    return args


def test_photos(config: str, most: int) -> list[str]:
    """Paths of the first photos of the test split."""
    if not Path(config).is_file():
        raise UsageError(f'config {config} does not exist: check the path')
    dataset = build_split_dataset(Config.fromfile(config), 'test')
    return [dataset.get_data_info(row)['img_path'] for row in range(min(most, len(dataset)))]


def compare(results: Path, records: Path) -> dict:
    """How far the predictions of both commands are the same."""
    with results.open('rb') as file:
        tested = {str(one['img_path']): one for one in pickle.load(file)}  # written by ourselves
    same, largest, count = 0, 0.0, 0
    for line in records.read_text(encoding='utf-8').splitlines():
        record = json.loads(line)
        one = tested[record['photo']]
        count += 1
        same += one['pred_label'].tolist() == record['label_ids'] or (
            record['path'] is None and set(one['pred_label'].tolist()) == set(record['label_ids'])
        )
        scores = one['pred_score'].tolist()
        gaps = (abs(scores[each['id']] - each['score']) for each in record['marginals'])
        largest = max(largest, *gaps)
    return {'photos': count, 'same_labels': same, 'largest_score_difference': largest}


def latencies(inferencer: MultiLabelInferencer, photos: list[str]) -> list[float]:
    """Milliseconds of single photos, from the file to the record."""
    inferencer(photos[0])  # warm-up
    found = []
    for photo in photos:
        begin = time.perf_counter()
        inferencer(photo)
        found.append(1000 * (time.perf_counter() - begin))
    return found


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """All figures."""
    photos = test_photos(args.config, args.photos)
    results, records = folder / 'results.pkl', folder / 'records.jsonl'
    limit = f'test_dataloader.dataset.indices={len(photos)}'
    test = Command(
        [str(TOOLS / 'test.py'), args.config, args.checkpoint, '--out', str(results)]
        + ['--work-dir', str(folder), '--cfg-options', limit]
    )
    predict = Command(
        [str(TOOLS / 'predict.py'), *photos, '--checkpoint', args.checkpoint]
        + ['--config', args.config, '--out', str(records)]
    )
    for turn in range(args.repeats):
        for command in (test, predict) if turn % 2 == 0 else (predict, test):
            command.run()
    inferencer = MultiLabelInferencer.from_checkpoint(args.checkpoint, args.config)
    single = latencies(inferencer, photos[: args.latency])
    device = next(inferencer.model.parameters()).device
    return {
        **describe_run(device),
        **compare(results, records),
        'test': {'wall': test.wall, 'cpu': test.cpu},
        'predict': {'wall': predict.wall, 'cpu': predict.cpu},
        'latency_ms': {
            'median': statistics.median(single),
            'least': min(single),
            'most': max(single),
        },
    }


def show(figures: dict, console: Console) -> None:
    """Print the figures."""
    count = figures['photos']
    table = Table('command', 'seconds', 'photos a second', 'processor seconds')
    for name in ('test', 'predict'):
        wall, cpu = (statistics.median(figures[name][clock]) for clock in ('wall', 'cpu'))
        table.add_row(f'tools/{name}.py', f'{wall:.1f}', f'{count / wall:.1f}', f'{cpu:.1f}')
    console.print(table)
    for clock, words in (('wall', 'seconds'), ('cpu', 'processor seconds')):
        ratio = statistics.median(figures['test'][clock]) / statistics.median(
            figures['predict'][clock]
        )
        console.print(f'rate of predict.py in terms of test.py, by {words}: {ratio:.2f}')
    latency = figures['latency_ms']
    console.print(
        f'a single photo: {latency["median"]:.1f} ms (median; {latency["least"]:.1f} to '
        f'{latency["most"]:.1f})'
    )
    console.print(
        f'{figures["same_labels"]} of {count} photos have the same labels, and scores differ by at '
        f'most {figures["largest_score_difference"]:.1e}'
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and save."""
    args = parse_args(arguments)
    torch.set_num_threads(1)
    with report_usage_errors(), tempfile.TemporaryDirectory() as folder:
        figures = measure(args, Path(folder))
        show(figures, Console())
        if args.out is not None:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
