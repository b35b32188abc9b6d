# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Arguments and endings that ``tools/train.py`` and ``tools/test.py`` share."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..errors import UsageError, one_line
from .config_errors import explain_config_error
from .config_files import ConfigOptions, read_config
from .config_numbers import check_numbers
from .run_errors import explain_interrupt, explain_run_error

__all__ = ['add_run_arguments', 'apply_run_arguments', 'report_usage_errors']

WORKER_PREFIX = f'{UsageError.__module__}.{UsageError.__name__}: '
INTERRUPTED = 128 + signal.SIGINT
DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that MMPretrain's train and test tools have in common."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    parser.add_argument('--amp', action='store_true', help='use automatic mixed precision')
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='switch pin_memory off in all dataloaders'
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='launcher'
    )
    # torch.distributed.launch passes --local-rank, the launch module of old --local_rank.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def apply_run_arguments(
    config_path: str, args: argparse.Namespace, persistent_workers: bool
) -> Config:
    """Load the config and merge the shared arguments into it.

    Args:
        config_path: Path of the config file.
        args: Parsed arguments.
        persistent_workers: Default for dataloaders that say nothing about it.

    Raises:
        UsageError: If the file does not exist or fails, has no model, or an option or a number in
            it can't be right.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(config_path, args.cfg_options)
    if 'runner_type' not in cfg and not isinstance(cfg.get('model'), dict):
        raise UsageError(
            f'config {config_path} has no model: write model = dict(type=...), or _base_ = [...] '
            'with the config it builds on'
        )
    check_numbers(cfg)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(config_path).stem)
    for name in DATALOADERS:
        _fill_dataloader(cfg, name, args.no_pin_memory, persistent_workers)
    return cfg


def _fill_dataloader(cfg: Config, name: str, no_pin: bool, persistent_workers: bool) -> None:
    if cfg.get(name) is None:
        return
    defaults = ConfigDict(
        pin_memory=True,
        persistent_workers=persistent_workers and cfg[name].get('num_workers', 0) > 0,
        collate_fn=dict(type='default_collate'),
    )
    cfg[name] = ConfigDict({**defaults, **cfg[name]})
    if no_pin:
        cfg[name].pin_memory = False


@contextmanager
def report_usage_errors() -> Iterator[None]:
    """End with one line and exit status 2 where the user can mend what went wrong.

    Ctrl-C ends with one line and exit status 130, as in a shell; a ``KeyboardInterrupt`` with a
    message shows that. With the environment variable CNNRNN_TRACEBACK the traceback is shown, too.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if os.environ.get('CNNRNN_TRACEBACK'):
            traceback.print_exc()
        sys.stderr.write(f'{one_line(explain_interrupt(interrupt))}\n')
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, UsageError):
            # From a data-loading worker it comes wrapped in that worker's traceback.
            line = str(error).rpartition(WORKER_PREFIX)[2].strip()
        else:
            line = explain_run_error(error) or explain_config_error(error)
        if line is None:
            raise
        if os.environ.get('CNNRNN_TRACEBACK'):
            traceback.print_exc()
        sys.stderr.write(f'error: {one_line(line)}\n')
        sys.exit(2)
