# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a GPU does with the model: training steps, search, and fine-tuning of the whole network.

Training: VGG-16, ResNet-50 and Swin-T at 224 and 448 pixels in fp32, tf32 and bf16, CNNRNNHead and
MultiLabelLinearClsHead. Search: its share of the backbone's time, and how often the host waits for
the device. Fine-tuning: any config, through tools/train.py, where --train names it. Without a GPU
nothing is measured.
"""

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import torch
from device_search import measure_search
from machine import describe_run
from overhead import make_table
from rich.console import Console
from whole_step import BACKBONES, PRECISIONS, measure_pair

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = ['vgg16', 'resnet50', 'swin_t']
    add('--backbones', nargs='+', choices=list(BACKBONES), default=names)
    add('--image-sizes', type=int, nargs='+', default=[224, 448], help='pixels (%(default)s)')
    add('--precisions', nargs='+', choices=PRECISIONS, default=list(PRECISIONS))
    add('--batch-size', type=int, default=64, help='images a step (%(default)s)')
    add('--labels', type=int, default=260, help='C (%(default)s)')
    add('--repeats', type=int, default=11, help='timed steps of each head (%(default)s)')
    add('--train', nargs='+', metavar=('CONFIG', 'OPTION'), help='also tools/train.py with these')
    add('--device', default='cuda', help='(%(default)s)')
    add('--out', type=Path, default=Path('work_dirs/benchmarks/gpu'), help='(%(default)s)')
    return parser.parse_args(arguments)


def run(args: argparse.Namespace, console: Console) -> dict:
    """Measure all parts; what is measured is written after each."""
    device = torch.device(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    content = dict(run=describe_run(device), options={**vars(args), 'out': str(args.out)})
    content.update(training=[], search=[])

    def save() -> None:
        (args.out / 'gpu.json').write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')

    measured = args.batch_size, args.labels, args.repeats, device
    for name, size, precision in product(args.backbones, args.image_sizes, args.precisions):
        content['training'].append(measure_pair(name, size, precision, *measured))
        console.print(make_table(content['training'][-1:]))
        save()
    for name, size in product(args.backbones, args.image_sizes):
        content['search'].append(measure_search(name, size, *measured))
        console.print(content['search'][-1])
        save()
    if args.train:
        command = [sys.executable, str(TRAIN), *args.train]
        content['train'] = dict(
            command=args.train, status=subprocess.run(command, check=False).returncode
        )
        save()
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
    return content


def main() -> int:
    """Run the command; without a GPU say so and do nothing."""
    args = parse_args()
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        print('There is no GPU here: nothing was measured.')
        return 0
    content = run(args, Console(width=160))
    return content.get('train', {}).get('status', 0)


if __name__ == '__main__':
    sys.exit(main())
