# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Look for the label order "easiest first": train, order the classes by how well they did, repeat.

The first round trains in the config's own order. The order of the best round is written as the
arguments of OrderLabels. See docs/label_order.md.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import (
    apply_run_arguments,
    check_data_layout,
    report_usage_errors,
    use_cached_features,
)
from cnnrnn_mm.apis.config_files import ConfigOptions
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.apis.label_order_search import METRICS, OrderRound, search_label_order
from cnnrnn_mm.datasets.label_table import write_whole


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--features', help='train on what tools/extract_features.py wrote to this folder'
    )
    parser.add_argument('--rounds', type=int, default=3, help='orders to train in (%(default)s)')
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='one run each a round (0)'
    )
    parser.add_argument(
        '--measure',
        choices=['AP', 'recall'],
        default='AP',
        help='of a class on the validation split: how easy it is (%(default)s)',
    )
    parser.add_argument(
        '--select', choices=METRICS, default='mAP', help='chooses the best round (%(default)s)'
    )
    parser.add_argument('--out', help='JSON file (WORK_DIR/order.json)')
    parser.add_argument('--work-dir', help='folder for logs (work_dirs/CONFIG_NAME)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    parser.set_defaults(local_rank=0, launcher='none', no_pin_memory=False)
    return parser.parse_intermixed_args()


def make_table(rounds: list[OrderRound], best: OrderRound) -> Table:
    """One row a round; the best is marked."""
    table = Table(title='validation split, percent')
    table.add_column('round', justify='right')
    table.add_column('order', no_wrap=True)
    for name in (*METRICS, 'rank corr.'):
        table.add_column(name, justify='right')
    for one in rounds:
        table.add_row(
            f'{one.number}{"*" if one is best else ""}',
            one.name,
            *(scores_text(one.scores[name]) for name in METRICS),
            '-' if one.correlation is None else f'{one.correlation:.2f}',
        )
    return table


def scores_text(values: tuple[float, ...]) -> str:
    """The mean over seeds, with the standard deviation where there are several."""
    mean = f'{np.mean(values):.1f}'
    return mean if len(values) == 1 else f'{mean} ± {np.std(values, ddof=1):.1f}'


def best_round(rounds: list[OrderRound], figure: str) -> OrderRound:
    """The first one with the highest figure."""
    return max(rounds, key=lambda one: one.mean(figure))


def main() -> None:
    """Search, print, write."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        cfg = apply_run_arguments(args.config, args, persistent_workers=True)
        check_data_layout(cfg, ('train_dataloader', 'val_dataloader'))
        if args.features is not None:
            cfg = use_cached_features(cfg, args.features)
        out = Path(args.out or Path(cfg.work_dir) / 'order.json')
        make_out_folder(out.parent)
        rounds: list[OrderRound] = []
        for one in search_label_order(cfg, args.rounds, args.seeds, args.measure):
            rounds.append(one)
            console.print(make_table(rounds, best_round(rounds, args.select)))
            if one.sequence is not None:
                begins = ', '.join(map(str, one.arguments()['given'][:8]))
                console.print(f'Round {one.number} names first: {begins}', soft_wrap=True)
        best = best_round(rounds, args.select)
        text = json.dumps(best.arguments(), ensure_ascii=False, indent=1) + '\n'
        write_whole(out, lambda unfinished: unfinished.write_text(text, encoding='utf-8'))
        if len(rounds) < args.rounds:
            console.print(f'The order after round {len(rounds)} is one of those above.')
        console.print(
            f'Round {best.number} has the best {args.select}; its order: {out}', soft_wrap=True
        )


if __name__ == '__main__':
    main()
