# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Data, training, test and pictures in one go, beside MMPretrain's own multi-label head.

Interrupted, the same command goes on from the last whole epoch; once at its end, it starts anew.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.datasets.demo_scenes import (
    best_figures,
    generate_demo_scenes,
    mean_average_precision,
)
from cnnrnn_mm.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
#: Row name, config, and whether test pictures are drawn.
MODELS = (
    ('CNN-RNN (CNNRNNHead)', 'cnnrnn_demo', True),
    ('sigmoid a label (MultiLabelLinearClsHead)', 'linear_demo', False),
)
#: In the work dir while a demo is not at its end: what it was begun with.
UNFINISHED = 'unfinished.json'
#: In a model's folder: names its newest checkpoint.
LAST = 'last_checkpoint'
#: Column title, key of the metrics, column of the best figures.
COLUMNS = (
    ('mAP', 'multi-label/mAP', None),
    ('C-F1', 'label-set/C-F1', 'c_f1'),
    ('O-F1', 'label-set/O-F1', 'o_f1'),
    ('exact match', 'label-set/exact-match', 'exact_match'),
    ('law broken', 'law_broken', 'law_broken'),
)
#: Rows for the best possible figures.
READERS = (
    ('best possible, as a set', 'joint'),
    ('best possible, label by label at 0.5', 'independent'),
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=0, help='seed of both runs')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for the runs')
    parser.add_argument('--interval', type=int, default=20, help='draw every n-th test image')
    return parser.parse_args()


def run(*command: object) -> None:
    """Run one of the project's tools, showing what it prints."""
    words = [str(word) for word in command]
    Console().rule(f'python {" ".join(words)}')
    # Python's warnings of the host stack would fill the screen of a newcomer.
    environment = {'PYTHONWARNINGS': 'ignore', **os.environ}
    # Ctrl-C reaches the tool, too, which would have its own say; so it inherits deafness to that,
    # and is ended from here.
    hearing = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment)
    signal.signal(signal.SIGINT, hearing)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()  # at any moment: checkpoints are whole or absent
        process.wait()
        raise KeyboardInterrupt('the same command goes on after the last whole epoch') from None
    if status != 0:
        raise UsageError(f'python {" ".join(words)} ended with status {status}: see above')


def goes_on(args: argparse.Namespace) -> bool:
    """Whether an unfinished demo of the same settings is there; if not, begin one."""
    folder, digest = Path(args.work_dir), hashlib.sha256()
    for path in sorted((ROOT / 'configs').rglob('*.py')):
        digest.update(path.read_bytes())
    settings = json.dumps(dict(seed=args.seed, configs=digest.hexdigest()))
    begun = folder / UNFINISHED
    if begun.is_file() and begun.read_text(encoding='utf-8') == settings:
        return True
    for _, config, _ in MODELS:
        for old in (*(folder / config).glob('best_*.pth'), folder / config / LAST):
            old.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    begun.write_text(settings, encoding='utf-8')
    return False


def train_and_test(config: str, args: argparse.Namespace, draw: bool) -> tuple[dict, float]:
    """Train one model, test its best epoch; return the test metrics and the training's seconds."""
    work_dir = Path(args.work_dir).resolve() / config
    start = time.perf_counter()
    resume = ('--resume',) if (work_dir / LAST).is_file() else ()
    run(
        'tools/train.py',
        f'configs/{config}.py',
        '--work-dir',
        work_dir,
        *resume,
        '--cfg-options',
        f'randomness.seed={args.seed}',
    )
    seconds = time.perf_counter() - start
    (best,) = work_dir.glob('best_*.pth')
    metrics = work_dir / 'test_metrics.json'
    pictures = ('--show-dir', work_dir / 'pictures', '--interval', args.interval) if draw else ()
    test = ('tools/test.py', f'configs/{config}.py', best, '--work-dir', work_dir)
    run(*test, '--out', metrics, '--out-item', 'metrics', *pictures)
    return json.loads(metrics.read_text()), seconds


def show(results: dict[str, dict], console: Console) -> None:
    """Print both models beside what a perfect reader reaches."""
    table = Table(title='Test split of the demo scenes, percent')
    table.add_column('')
    for title, _, _ in COLUMNS:
        table.add_column(title, justify='right')
    for name, metrics in results.items():
        table.add_row(name, *(f'{metrics[key]:.1f}' for _, key, _ in COLUMNS))
    table.add_section()
    best, mean_ap = best_figures(), mean_average_precision()
    for name, reader in READERS:
        values = (getattr(best[reader], key) if key else mean_ap for _, _, key in COLUMNS)
        table.add_row(name, *(f'{value:.1f}' for value in values))
    console.print(table)


def main() -> None:
    """Run it all."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        root = generate_demo_scenes(ROOT / 'data' / 'demo_scenes')
        console.print(f'Scenes: {root}', soft_wrap=True)
        resumed = goes_on(args)
        if resumed:
            console.print(f'Going on with the unfinished demo in {args.work_dir}', soft_wrap=True)
        results, training = {}, 0.0
        for name, config, draw in MODELS:
            results[name], seconds = train_and_test(config, args, draw)
            training += seconds
        show(results, console)
        pictures = Path(args.work_dir) / MODELS[0][1] / 'pictures'
        (Path(args.work_dir) / UNFINISHED).unlink()
        since = ' since it was resumed' if resumed else ''
        console.print(f'Training took {training:.0f} s{since} for both models together.')
        console.print(f'Pictures of predictions: {pictures}', soft_wrap=True)


if __name__ == '__main__':
    main()
