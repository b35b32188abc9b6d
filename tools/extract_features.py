# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run a config's frozen backbone and neck once over its splits and keep the features.

Heads are then trained on them without the images: tools/train.py CONFIG --features FOLDER. Called
again after an interruption, it goes on where it stopped. See docs/features.md.
"""

import argparse

from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console

from cnnrnn_mm.apis import apply_run_arguments, extract_features, report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; without it, what load_from and init_cfg in the config say',
    )
    parser.add_argument(
        '--splits', nargs='+', choices=SPLITS, help='(all that the config has, each dataset once)'
    )
    parser.add_argument('--out', required=True, help='folder; each split gets a folder in it')
    views = parser.add_mutually_exclusive_group()
    views.add_argument(
        '--flip', action='store_true', help='also the mirror images of the training images'
    )
    views.add_argument(
        '--copies',
        type=int,
        default=0,
        help='also this many copies of each training image through the training pipeline',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the copies (%(default)s)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a cache that was made otherwise'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    parser.set_defaults(work_dir=None, local_rank=0, launcher='none', no_pin_memory=True)
    return parser.parse_intermixed_args()  # the checkpoint may stand behind options


def splits_of(cfg: Config) -> list[str]:
    """The splits of a config; a test split that is the validation split is left out."""
    there = [name for name in SPLITS if cfg.get(f'{name}_dataloader') is not None]
    both = 'test' in there and 'val' in there
    if both and cfg.test_dataloader.dataset == cfg.val_dataloader.dataset:
        there.remove('test')
    return there


def main() -> None:
    """Extract split by split."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        cfg = apply_run_arguments(args.config, args, persistent_workers=False)
        # The host logs how each single weight was initialised.
        MMLogger.get_instance('extract_features', log_level='WARNING')
        for split in args.splits or splits_of(cfg):
            cached = extract_features(
                cfg,
                split,
                args.out,
                args.checkpoint,
                flip=args.flip and split == 'train',
                copies=args.copies if split == 'train' else 0,
                seed=args.seed,
                overwrite=args.overwrite,
                show_progress=True,
            )
            images, views, *shape = cached.views.shape
            size = ' x '.join(map(str, shape))
            seen = '' if views == 1 else f' in {views} views'
            console.print(
                f'{size} features of {images} images{seen}: {cached.folder}', soft_wrap=True
            )


if __name__ == '__main__':
    main()
