# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Turn a folder in Pascal VOC's layout into the JSON file of MMPretrain's MultiLabelDataset.

With --download the official archives are fetched to ROOT and unpacked there by torchvision, which
checks their sums, and ROOT/VOCdevkit/VOC<year> is converted. VOC 2012 has no public test labels.
"""

import argparse
from pathlib import Path

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.dataset_converters import check_out, convert
from cnnrnn_mm.apis.voc_download import download_voc
from cnnrnn_mm.datasets.readers import read_voc
from cnnrnn_mm.datasets.readers.voc import DIFFICULT, UNKNOWN


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', help='such as data/VOC2007; with --download where to unpack')
    parser.add_argument('--out', required=True, help='file to write, ending in .json')
    parser.add_argument(
        '--split',
        default='trainval',
        help='name of a list in ImageSets/Main, such as train, val, test (default: %(default)s)',
    )
    parser.add_argument('--classes', help="file with the classes, one a line (VOC's 20)")
    parser.add_argument(
        '--difficult',
        choices=DIFFICULT,
        default='ignore',
        help='classes of which an image shows difficult objects only: in gt_label_difficult, no '
        'label, or a label (default: %(default)s)',
    )
    parser.add_argument(
        '--unknown',
        choices=UNKNOWN,
        default='warn',
        help='what is done about objects of other classes (default: %(default)s)',
    )
    parser.add_argument('--download', choices=['2007', '2012'], help='fetch this year first')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    with report_usage_errors():
        check_out(args.out, *filter(None, (args.classes,)))
        root = Path(args.root).expanduser()
        if args.download is not None:
            root = download_voc(root, args.download, args.split)
        table = read_voc(
            str(root / 'ImageSets' / 'Main' / f'{args.split}.txt'),
            str(root / 'Annotations'),
            args.classes,
            args.difficult,
            args.unknown,
        )
        convert(table, args.out)


if __name__ == '__main__':
    main()
