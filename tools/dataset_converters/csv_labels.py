# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Turn a CSV file of images and labels into the JSON file of MMPretrain's MultiLabelDataset.

Without --classes and --classes-from the labels in the file are the classes. Do so with the training
split alone, and name its file in --classes-from for the others, so that the class ids agree.
"""

# Not csv.py: a tool's folder is the first place where Python looks for modules.
import argparse

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.datasets.readers import CsvLayout, read_csv


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('file', help='the CSV file')
    parser.add_argument('--out', required=True, help='file to write, ending in .json')
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument('--classes', help='file with the classes, one a line')
    classes.add_argument('--classes-from', help='CSV file whose labels are the classes')
    parser.add_argument('--separator', default=';', help='between labels (default: %(default)s)')
    parser.add_argument('--delimiter', default=',', help='between cells (default: %(default)s)')
    parser.add_argument('--no-header', action='store_true', help='line 1 is an image already')
    parser.add_argument(
        '--path-column', default='path', help='column of image paths (default: %(default)s)'
    )
    parser.add_argument(
        '--labels-column', default='labels', help='column of labels (default: %(default)s)'
    )
    parser.add_argument(
        '--one-hot',
        action='store_true',
        help='each column but that of the paths is a class and holds 0 or 1',
    )
    parser.add_argument('--encoding', default='utf-8', help='of the text (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    with report_usage_errors():
        check_out(args.out, args.file, *filter(None, (args.classes, args.classes_from)))
        layout = CsvLayout(
            separator=args.separator,
            delimiter=args.delimiter.replace('\\t', '\t'),
            header=not args.no_header,
            path_column=args.path_column,
            labels_column=args.labels_column,
            one_hot=args.one_hot,
            encoding=args.encoding,
        )
        convert(read_csv(args.file, args.classes, args.classes_from, layout), args.out)


if __name__ == '__main__':
    main()
