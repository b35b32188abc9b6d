# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Kill a small training at random moments, resume it, and compare it with one left alone.

Each kill is a SIGKILL from another process, in a training of its own, while it loads data, takes a
step, saves or validates; the moment within the phase is drawn, too. Then the training is resumed
with --resume and runs to its end. The exit status is 1 if one does not end with the weights,
optimizer, random states, label order, logs and figures of the uninterrupted run, bit by bit.
"""

import argparse
import importlib
import json
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from fault_runs.comparison import checkpoint_files, differences, validations
from fault_runs.kills import Kill, draw, kill_training, run_training
from fault_runs.moment_hook import PHASES
from fault_runs.small_training import EPOCHS, ITERATIONS, write_training
from machine import describe_run
from rich.console import Console

#: Imported before the forks, which then start at once.
WARM = ('mmpretrain.models', 'mmpretrain.datasets', 'cnnrnn_mm.models', 'cnnrnn_mm.datasets')
WARM += ('cnnrnn_mm.engine', 'cnnrnn_mm.evaluation', 'cnnrnn_mm.visualization')
TRIES = 5


@dataclass(frozen=True)
class Outcome:
    """One kill.

    Attributes:
        phase: What the training was doing.
        epoch: Counted from 1.
        iteration: Counted from 1; 0 if the phase has none.
        after_ms: Milliseconds since the phase began.
        files: Checkpoints and temporary files that the kill left.
        differences: Between the resumed run and the uninterrupted one.
    """

    phase: str
    epoch: int
    iteration: int
    after_ms: float
    files: list[str]
    differences: list[str]


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--kills', type=int, default=20, help='how many (%(default)s)')
    add('--phases', nargs='+', choices=PHASES, default=PHASES, help='in turn (all)')
    add('--workers', type=int, default=1, help='data-loading processes (%(default)s)')
    add('--seed', type=int, default=0, help='of the draws (%(default)s)')
    add('--folder', type=Path, help='keep the runs there, in a new folder (a temporary one)')
    add('--json', type=Path, metavar='FILE', help='write everything there')
    args = parser.parse_args(arguments)
    if args.kills < 1:
        parser.error('--kills is 1 or more')
    if args.folder is not None and args.folder.exists():
        parser.error(f'--folder {args.folder} exists: name a new one')
    return args


def outcomes(args: argparse.Namespace, folder: Path, console: Console) -> Iterator[Outcome]:
    """Run the uninterrupted training, then each of the others."""
    config = write_training(folder, args.workers)
    whole = folder / 'whole'
    status, moments = run_training(config, whole)
    if status != 0:
        raise SystemExit(f'the uninterrupted training failed: see {whole.with_suffix(".txt")}')
    figures = validations(whole)
    console.print(
        f'Uninterrupted: {EPOCHS} epochs of {ITERATIONS} iterations, '
        f'{len(figures)} validations, files {", ".join(checkpoint_files(whole))}',
        soft_wrap=True,
    )
    chance = random.Random(args.seed)
    for number in range(args.kills):
        phase = args.phases[number % len(args.phases)]
        for attempt in range(TRIES):
            found = kill_and_resume(
                config, folder, f'kill_{number + 1}_{attempt}', draw(chance, phase, moments)
            )
            if found is not None and found.phase == phase:
                break
        if found is None:
            raise SystemExit(f'{TRIES} trainings ended before their kill in {phase}')
        yield found


def kill_and_resume(config: Path, folder: Path, name: str, kill: Kill) -> Outcome | None:
    """One training; None if it ended before the kill."""
    work_dir = folder / name
    status, moments, killed = kill_training(config, work_dir, kill)
    if status == 0:
        return None
    files = checkpoint_files(work_dir)
    resumed, _ = run_training(config, work_dir, '--resume')
    problems = [f'exit status {resumed}'] if resumed else differences(folder / 'whole', work_dir)
    last = moments[-1]
    after = 1000 * (killed - last.seconds)
    return Outcome(last.phase, last.epoch, last.iteration, after, files, problems)


def main() -> int:
    """Run the command and return its exit status."""
    args = parse_args()
    console = Console()
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    for module in WARM:
        importlib.import_module(module)
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes(args, folder, console):
            found.append(outcome)
            at = f'epoch {outcome.epoch}' + (f' it. {outcome.iteration}' * bool(outcome.iteration))
            end = 'equal' if not outcome.differences else f'DIFFERS: {outcome.differences[:4]}'
            console.print(
                f'{len(found):2} {outcome.phase:10} {at:13} +{outcome.after_ms:7.2f} ms  {end:6}  '
                f'left: {", ".join(outcome.files) or "nothing"}',
                soft_wrap=True,
                highlight=False,
            )
    if args.json is not None:
        record = describe_run(torch.device('cpu'))
        args.json.write_text(
            json.dumps({**record, 'kills': [asdict(one) for one in found]}, indent=2) + '\n'
        )
    equal = sum(not one.differences for one in found)
    console.print(f'{equal} of {len(found)} resumed runs equal the uninterrupted one')
    return 0 if equal == len(found) else 1


if __name__ == '__main__':
    sys.exit(main())
