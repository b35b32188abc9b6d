# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Check a JSON file of MMPretrain's MultiLabelDataset and write it anew, labels ascending."""

import argparse

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.datasets.readers import read_json


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('file', help='the JSON file')
    parser.add_argument('--out', required=True, help='file to write, ending in .json')
    parser.add_argument('--classes', help='file with names that replace those in the file')
    parser.add_argument('--drop-empty', action='store_true', help='leave out images without labels')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    with report_usage_errors():
        check_out(args.out, args.file)
        table = read_json(args.file, args.classes)
        convert(table.without_empty() if args.drop_empty else table, args.out)


if __name__ == '__main__':
    main()
