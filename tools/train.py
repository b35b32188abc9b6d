# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Train a model; the arguments are those of MMPretrain's tool of the same name."""

import argparse

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from cnnrnn_mm.apis import (
    add_run_arguments,
    apply_run_arguments,
    check_data_layout,
    join_processes,
    leave_processes,
    report_usage_errors,
    use_cached_features,
)
from cnnrnn_mm.apis.checkpoints import check_pretrained
from cnnrnn_mm.apis.resuming import set_start


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint, or from the last one in the work dir; without one, '
        'start at the beginning, with a warning',
    )
    parser.add_argument(
        '--features', help='train on what tools/extract_features.py wrote to this folder'
    )
    parser.add_argument('--no-validate', action='store_true', help='do not validate')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the batch size against the config's base_batch_size",
    )
    parser.add_argument(
        '--no-persistent-workers', action='store_true', help='start workers anew each epoch'
    )
    add_run_arguments(parser)
    return parser.parse_args()


def make_config(args: argparse.Namespace) -> tuple[Config, str | None]:
    """The config of the run, checked, and what to warn of."""
    cfg = apply_run_arguments(args.config, args, not args.no_persistent_workers)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    warning = set_start(cfg, args.resume)
    check_pretrained(cfg.get('model'))
    check_data_layout(cfg, ('train_dataloader', 'val_dataloader'))
    if args.features is not None:
        cfg = use_cached_features(cfg, args.features)
    return cfg, warning


def main() -> None:
    """Build the runner and train."""
    with report_usage_errors():
        cfg, warning = make_config(parse_args())
        join_processes(cfg)
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if warning is not None:
            runner.logger.warning(warning)
        runner.train()
        leave_processes()


if __name__ == '__main__':
    main()
