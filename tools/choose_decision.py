# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Choose on the validation split how a model answers: best path, threshold or expected F1.

Prints what every rule gives, and with --out writes a config that builds on CONFIG and has the best
one, for tools/test.py. A threshold or a bias of END is fitted on the split that its figures are of,
so those are a little optimistic; report figures of another split.
"""

import argparse
from pathlib import Path

from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis import (
    add_run_arguments,
    apply_run_arguments,
    check_checkpoint,
    check_data_layout,
    report_usage_errors,
    use_cached_features,
)
from cnnrnn_mm.apis.decision_choice import MEASURES, DecisionTrial, describe_rule, try_decisions
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.errors import UsageError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file')
    add('--select', choices=MEASURES, default='O-F1', help='what is best (%(default)s)')
    add('--features', help='cached features (tools/extract_features.py) instead of images')
    add('--num-samples', type=int, default=256, help='of the expected F1 (%(default)s)')
    add(
        '--end-biases',
        type=float,
        nargs='*',
        default=[-1.0, -0.5, 0.0, 0.5, 1.0],
        help='to try with the best path (%(default)s)',
    )
    add('--out', type=Path, help='config file to write')
    add_run_arguments(parser)
    return parser.parse_args()


def make_runner(args: argparse.Namespace) -> Runner:
    """A runner that evaluates the validation split."""
    cfg = apply_run_arguments(args.config, args, persistent_workers=False)
    if cfg.get('val_dataloader') is None:
        raise UsageError(
            f'{args.config} has no val_dataloader: a rule is chosen on validation data'
        )
    check_checkpoint(args.checkpoint)
    check_data_layout(cfg, ('val_dataloader',))
    if args.features is not None:
        cfg = use_cached_features(cfg, args.features, ('val',))
    cfg.resume = False
    cfg.custom_hooks = []  # averaging hooks ask for a run; a checkpoint holds averaged weights
    return Runner.from_cfg(cfg)


def show(trials: list[DecisionTrial], best: DecisionTrial, select: str) -> None:
    """Print the table."""
    table = Table('rule', *MEASURES, 'labels an image')
    for trial in trials:
        cells = [f'{trial.figures[name]:.1f}' for name in MEASURES]
        cells.append(f'{trial.figures["set-size"]:.2f}')
        name = describe_rule(trial.options) + (' *' if trial.tuned else '')
        table.add_row(name, *cells, style='bold' if trial is best else None)
    console = Console()
    console.print(table)
    console.print(f'* fitted on this split. Best in {select}: {describe_rule(best.options)}')


def write_config(path: Path, config: str, best: DecisionTrial) -> None:
    """Write a config that builds on another and has the rule."""
    content = (
        f'# Chosen by tools/choose_decision.py on the validation split.\n'
        f'_base_ = [{str(Path(config).resolve())!r}]\n\n'
        f'model = dict(head=dict(postprocessor={best.options!r}))\n'
    )
    write_whole(path, lambda unfinished: unfinished.write_text(content, encoding='utf-8'))


def main() -> None:
    """Try the rules, print them, and write the best one."""
    args = parse_args()
    with report_usage_errors():
        runner = make_runner(args)
        runner.load_checkpoint(args.checkpoint)
        trials = try_decisions(
            runner.model, runner.val_dataloader, args.end_biases, args.num_samples
        )
        best = max(trials, key=lambda trial: trial.figures[args.select])
        show(trials, best, args.select)
        if args.out is not None:
            write_config(args.out, args.config, best)
            print(f'{args.out} answers in this way')


if __name__ == '__main__':
    main()
