# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Turn a COCO instances file into the JSON file of MMPretrain's MultiLabelDataset."""

import argparse

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.datasets.readers import read_coco


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('instances', help='such as annotations/instances_train2014.json')
    parser.add_argument('--out', required=True, help='file to write, ending in .json')
    parser.add_argument('--classes', help='file with the categories to take, one a line')
    parser.add_argument(
        '--crowd',
        choices=['keep', 'drop'],
        default='keep',
        help='whether objects with iscrowd=1 count as labels (default: %(default)s)',
    )
    parser.add_argument(
        '--empty',
        choices=['keep', 'drop'],
        default='keep',
        help='whether images without a label are written (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    with report_usage_errors():
        check_out(args.out, args.instances)
        convert(read_coco(args.instances, args.classes, args.crowd, args.empty), args.out)


if __name__ == '__main__':
    main()
