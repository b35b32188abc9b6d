# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Turn the official files of NUS-WIDE into the JSON file of MMPretrain's MultiLabelDataset.

ROOT is the folder where the archives were unpacked; docs/datasets.md says what it holds.
"""

import argparse

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.datasets.present_images import only_present_images
from cnnrnn_mm.datasets.readers import read_nus_wide


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', help='such as data/nuswide')
    parser.add_argument('--out', required=True, help='file to write, ending in .json')
    parser.add_argument(
        '--split', choices=['train', 'test', 'all'], default='train', help='(default: %(default)s)'
    )
    parser.add_argument(
        '--concepts',
        type=int,
        choices=[81, 1000],
        default=81,
        help='the 81 concepts or the 1,000 tags (default: %(default)s)',
    )
    parser.add_argument('--classes', help='file with the concepts to take, one a line')
    parser.add_argument(
        '--empty',
        choices=['keep', 'drop'],
        default='keep',
        help='whether images without a label are written (default: %(default)s)',
    )
    parser.add_argument(
        '--images', help='folder of the images: those that are not there are left out'
    )
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    with report_usage_errors():
        check_out(args.out, *filter(None, (args.classes,)))
        table = read_nus_wide(args.root, args.split, args.concepts, args.classes, args.empty)
        if args.images is not None:
            table = only_present_images(table, args.images)
        convert(table, args.out)


if __name__ == '__main__':
    main()
