# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Nearest labels of labels and photos in the space where a trained model compares them.

What the space is for each model, and how to read the figures, is in docs/joint_embedding.md.
"""

import argparse
from pathlib import Path

from rich.console import Console

from cnnrnn_mm.apis import load_trained_model, report_usage_errors
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.apis.joint_embedding import SPACES, JointEmbedding
from cnnrnn_mm.apis.label_neighbors import (
    neighbor_lift,
    neighbor_map,
    neighbor_report,
    write_neighbors,
)
from cnnrnn_mm.apis.label_projection import METHODS
from cnnrnn_mm.apis.neighbor_tables import print_lift, print_neighbors

TITLES = {'tsne': 't-SNE', 'pca': 'PCA'}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='path or address of the trained model')
    parser.add_argument('--config', help="config file; else the checkpoint's own")
    parser.add_argument('--photos', nargs='+', help='files, folders, patterns or addresses')
    parser.add_argument('--labels', nargs='+', help='labels to report on; else all')
    parser.add_argument('-k', type=int, default=5, help='neighbours of each')
    parser.add_argument('--space', choices=SPACES, help='see the documentation')
    parser.add_argument(
        '--lift',
        nargs='+',
        choices=['train', 'val', 'test'],
        default=[],
        help="whether near labels come together in these splits of the config's",
    )
    parser.add_argument('--out-dir', help='folder for JSON, CSV and the map of the labels')
    parser.add_argument('--map', choices=METHODS, default='tsne', help='how the map is made')
    parser.add_argument('--top', type=int, default=20, help='most rows of a printed table')
    parser.add_argument('--seed', type=int, default=0, help='of the map and of the draws')
    parser.add_argument('--device', help='where photos are read: cpu, cuda, cuda:1, ...')
    args = parser.parse_args()
    if args.k < 1 or args.top < 1:
        parser.error('-k and --top must be at least 1')
    return args


def main() -> None:
    """Compare, print, write."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        out = None if args.out_dir is None else make_out_folder(args.out_dir)
        trained = load_trained_model(args.checkpoint, args.config, args.device)
        embedding = JointEmbedding(trained, args.space)
        for name in args.labels or ():  # before photos are read
            embedding.label_id(name)
        photos = None if args.photos is None else embedding.read_photos(args.photos)
        report = neighbor_report(embedding, photos, args.labels, args.k)
        report = {'checkpoint': args.checkpoint, **report}
        if args.lift:
            report['lift'] = {
                split: neighbor_lift(embedding, trained.cfg, split, args.k, args.seed)
                for split in args.lift
            }
        written = []
        if out is not None:
            report['map'] = found = neighbor_map(embedding, args.map, args.seed)
            trust = found['trustworthiness']
            title = f'{Path(args.checkpoint).name}: {len(embedding.classes):,} labels in the '
            title += f'{embedding.space} space, {TITLES[args.map]}'
            title += '' if trust is None else f', trustworthiness {trust:.2f}'
            written = write_neighbors(report, embedding, out, title)
        console.rule(f'{embedding.space} space')
        print_neighbors(report, console, args.top)
        print_lift(report.get('lift', {}), console)
        for one in report.get('unreadable', []):
            console.print(f'left out: {one["error"]}', soft_wrap=True, markup=False, style='red')
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False, highlight=False)


if __name__ == '__main__':
    main()
