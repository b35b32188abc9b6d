# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run a config's backbone and neck once over a split and write the features to a file.

Heads can then be trained on the file, without the images: see configs/cnnrnn_cached_corel5k.py.
"""

import argparse
import os
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import MMLogger
from rich.console import Console

from cnnrnn_mm.apis import (
    apply_run_arguments,
    extract_features,
    report_usage_errors,
    save_features,
)
from cnnrnn_mm.errors import UsageError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; without it, what init_cfg in the config says',
    )
    parser.add_argument('--split', choices=['train', 'val', 'test'], required=True)
    parser.add_argument('--out', required=True, help='file for the features, ending in .pt')
    parser.add_argument(
        '--flip', action='store_true', help='also the features of the flipped images'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='switch pin_memory off in the dataloader'
    )
    parser.add_argument('--launcher', choices=['none'], default='none', help='one process only')
    parser.set_defaults(work_dir=None, local_rank=0)
    return parser.parse_intermixed_args()  # the checkpoint may stand behind options


def check_out(out: str) -> Path:
    """The file to write, in a folder that is there."""
    path = Path(out)
    if path.suffix != '.pt':
        raise UsageError(f'--out {out} does not end in .pt: name a file such as features/train.pt')
    if path.is_dir():
        raise UsageError(f'--out {out} is a folder: name a file')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'cannot make the folder of --out {out}: {error.strerror}') from None
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f'cannot write to the folder of --out {out}: name another')
    return path


def main() -> None:
    """Extract and write."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        out = check_out(args.out)
        cfg = apply_run_arguments(args.config, args, persistent_workers=False)
        # The host logs how each single weight was initialised.
        MMLogger.get_instance('extract_features', log_level='WARNING')
        cached = extract_features(
            cfg, args.split, args.checkpoint, flip=args.flip, show_progress=True
        )
        save_features(cached, out)
    count, size = cached.features.shape
    flipped = ' and of their mirror images' if args.flip else ''
    console.print(f'{size} features of {count} images{flipped}: {out}', soft_wrap=True)


if __name__ == '__main__':
    main()
