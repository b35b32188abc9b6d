# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Show the photos of a split with their labels in the order in which they are learnt.

The arguments are those of MMPretrain's tool of the same name. Where there is no display, or with
--not-show, each photo becomes a PNG file. See docs/data_tools.md.
"""

import argparse
import os
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.progress import track

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.browsing import BrowsedImage, browse_split
from cnnrnn_mm.apis.config_files import ConfigOptions, read_config
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.visualization import LabelPathVisualizer
from cnnrnn_mm.visualization.order_sheet import draw_order_sheet


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--output-dir',
        '-o',
        help='folder for PNG files; where nothing is shown the default is '
        'work_dirs/CONFIG/browse_PHASE',
    )
    parser.add_argument('--not-show', action='store_true', help='show no window')
    parser.add_argument('--phase', '-p', choices=['train', 'test', 'val'], default='train')
    parser.add_argument(
        '--show-number', '-n', type=int, default=sys.maxsize, help='most images (default: all)'
    )
    parser.add_argument(
        '--show-interval', '-i', type=float, default=2, help='seconds a window stays'
    )
    parser.add_argument(
        '--mode',
        '-m',
        choices=['original', 'transformed', 'concat', 'pipeline'],
        default='transformed',
        help='the photo as loaded, behind the pipeline, both, or behind each transform',
    )
    parser.add_argument(
        '--rescale-factor', '-r', type=float, help='factor for the sizes of the photos'
    )
    parser.add_argument(
        '--channel-order',
        '-c',
        choices=['BGR', 'RGB'],
        default='BGR',
        help='of the images in the pipeline',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    args = parser.parse_args()
    if args.show_number < 1:
        parser.error('--show-number must be at least 1')
    if args.rescale_factor is not None and args.rescale_factor <= 0:
        parser.error('--rescale-factor must be positive')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """The config, with the command line's changes."""
    return read_config(args.config, args.cfg_options)


def has_display() -> bool:
    """Whether a window can be opened."""
    if not sys.platform.startswith('linux'):
        return True
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def choose_stages(image: BrowsedImage, mode: str) -> list[tuple[str, np.ndarray]]:
    """The pictures that a mode shows."""
    first, last = image.stages[0], image.stages[-1]
    return {
        'original': [('original', first[1])],
        'transformed': [('transformed', last[1])],
        'concat': [('original', first[1]), ('transformed', last[1])],
        'pipeline': image.stages,
    }[mode]


def main() -> None:
    """Draw, and show or write."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        images, total, classes = browse_split(load_config(args), args.phase)
        show = not args.not_show and has_display()
        folder = args.output_dir
        if folder is None and not show:
            folder = Path('work_dirs') / Path(args.config).stem / f'browse_{args.phase}'
        out = None if folder is None else make_out_folder(folder)
        viewer = LabelPathVisualizer() if show else None
        number = min(args.show_number, total)
        chosen = track(islice(images, number), 'Drawing', total=number, console=console)
        for index, image in enumerate(chosen):
            photos = [
                (name, pixels[..., ::-1] if swap_channels(pixels, args.channel_order) else pixels)
                for name, pixels in choose_stages(image, args.mode)
            ]
            notes = [f'unchanged by {name}' for name in image.unchanged if name != 'OrderLabels']
            sheet = draw_order_sheet(
                photos,
                image.labels,
                classes,
                image.order,
                caption=f'{index + 1} of {total}: {Path(image.path).name}',
                notes=notes if args.mode == 'pipeline' else (),
                difficult=image.difficult,
                rescale_factor=args.rescale_factor,
            )
            if out is not None:
                name = f'{index:06d}_{Path(image.path).stem or "image"}.png'
                write_whole(out / name, partial(sheet.save, format='PNG'))
            if viewer is not None:
                viewer.show(np.asarray(sheet), win_name='dataset', wait_time=args.show_interval)
    if out is not None:
        console.print(f'{number} pictures: {out}', soft_wrap=True, markup=False, highlight=False)


def swap_channels(pixels: np.ndarray, order: str) -> bool:
    """Whether an image is to be turned from BGR to RGB."""
    return order == 'BGR' and pixels.ndim == 3 and pixels.shape[2] == 3


if __name__ == '__main__':
    main()
