# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Test a checkpoint; the arguments are those of MMPretrain's tool of the same name."""

import argparse
from pathlib import Path

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from cnnrnn_mm.apis import (
    add_run_arguments,
    apply_run_arguments,
    check_checkpoint,
    check_data_layout,
    join_processes,
    leave_processes,
    report_usage_errors,
    use_cached_features,
)
from cnnrnn_mm.errors import UsageError

#: Formats that MMEngine writes.
METRIC_ENDINGS, PREDICTION_ENDINGS = ('.json', '.yaml', '.yml', '.pkl'), ('.pkl', '.pickle')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='file for the results (.pkl for predictions, or .json)')
    parser.add_argument(
        '--out-item', choices=['metrics', 'pred'], help='what --out holds; default: pred'
    )
    parser.add_argument(
        '--features', help='test on what tools/extract_features.py wrote to this folder'
    )
    parser.add_argument('--show-dir', help='folder for pictures with the predicted path')
    parser.add_argument('--show', action='store_true', help='show the pictures in a window')
    parser.add_argument('--interval', type=int, default=1, help='draw every n-th image')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')
    parser.add_argument('--tta', action='store_true', help="use the config's tta_model")
    add_run_arguments(parser)
    args = parser.parse_args()
    if args.out is None and args.out_item is not None:
        parser.error('--out-item needs --out')
    if args.interval < 1:
        parser.error(f'--interval is {args.interval}: set it to 1 or more')
    if args.out is not None:
        endings = METRIC_ENDINGS if args.out_item == 'metrics' else PREDICTION_ENDINGS
        if not args.out.endswith(endings):
            parser.error(f'--out {args.out} does not end in {" or ".join(endings)}: name it so')
        if not Path(args.out).absolute().parent.is_dir():
            parser.error(f'--out {args.out} is in a folder that does not exist: make it first')
    return args


def make_config(args: argparse.Namespace) -> Config:
    """The config of the run, checked."""
    cfg = apply_run_arguments(args.config, args, persistent_workers=False)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        cfg.default_hooks.visualization = dict(
            type='VisualizationHook',
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        if args.features is not None:
            raise UsageError('--tta needs the images: leave out --features')
        if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
            raise UsageError(
                f'{args.config} has no tta_model and tta_pipeline: set both, since averaging '
                'scores, which MMPretrain does by default, loses the label paths'
            )
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    check_checkpoint(args.checkpoint)
    check_data_layout(cfg, ('test_dataloader',))
    return cfg if args.features is None else use_cached_features(cfg, args.features, ('test',))


def main() -> None:
    """Build the runner, test, and write what was asked for."""
    args = parse_args()
    with report_usage_errors():
        cfg = make_config(args)
        join_processes(cfg)
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if args.out and args.out_item != 'metrics':
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
        metrics = runner.test()
        if args.out and args.out_item == 'metrics':
            mmengine.dump(metrics, args.out)
        leave_processes()


if __name__ == '__main__':
    main()
