# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fit on the validation split how HybridHead pools its two heads, and store it with the weights.

Prints what each way to set the share gives, on the split that it was fitted on and held out: each
photo scored by a share that was fitted without it. With --out writes the checkpoint anew with the
share that is best held out.
"""

import argparse
from pathlib import Path

import torch
from choose_decision import make_runner
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import add_run_arguments, report_usage_errors
from cnnrnn_mm.apis.share_choice import MEASURES, ShareTrial, try_shares
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.errors import UsageError

#: Where a checkpoint holds the share.
KEY = 'head.share'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file')
    add('--select', choices=MEASURES, default='mAP', help='what is best, held out (%(default)s)')
    add('--folds', type=int, default=5, help='parts of the split (%(default)s)')
    add('--features', help='cached features (tools/extract_features.py) instead of images')
    add('--out', type=Path, help='checkpoint file to write')
    add_run_arguments(parser)
    return parser.parse_args()


def show(trials: list[ShareTrial], best: ShareTrial, select: str) -> None:
    """Print the table."""
    table = Table('share', 'mean', 'mAP', 'mAP held out', 'nll', 'nll held out')
    for trial in trials:
        cells = [f'{float(trial.share.mean()):.2f}']
        for name, digits in zip(MEASURES, (1, 3), strict=True):
            cells += [f'{one[name]:.{digits}f}' for one in (trial.figures, trial.held_out)]
        table.add_row(trial.name, *cells, style='bold' if trial is best else None)
    console = Console()
    console.print(table)
    console.print(f'Best in {select}, held out: {best.name}')


def read_checkpoint(checkpoint: str) -> dict:
    """The content of a checkpoint that holds a share."""
    content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    if KEY not in content.get('state_dict', content):
        raise UsageError(
            f"{checkpoint} holds no {KEY}: train with share='fitted' in the head, or leave out "
            '--out and set share in the config'
        )
    return content


def write_checkpoint(path: Path, content: dict, share: torch.Tensor) -> None:
    """Write a checkpoint with another share."""
    # EMAHook keeps a second set of weights, and tests with the buffers of that one.
    for weights, key in (
        (content.get('state_dict', content), KEY),
        (content.get('ema_state_dict', {}), f'module.{KEY}'),
    ):
        if key in weights:
            weights[key] = share.to(weights[key])
    write_whole(path, lambda unfinished: torch.save(content, unfinished))


def main() -> None:
    """Try the shares, print them, and write the best one."""
    args = parse_args()
    with report_usage_errors():
        runner = make_runner(args)
        content = None if args.out is None else read_checkpoint(args.checkpoint)
        runner.load_checkpoint(args.checkpoint)
        trials = try_shares(runner.model, runner.val_dataloader, args.folds)
        sign = {'mAP': 1, 'nll': -1}[args.select]
        best = max(trials, key=lambda trial: sign * trial.held_out[args.select])
        show(trials, best, args.select)
        if content is not None:
            write_checkpoint(args.out, content, best.share)
            print(f'{args.out} pools in this way')


if __name__ == '__main__':
    main()
