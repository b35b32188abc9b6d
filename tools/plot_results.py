# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Draw precision and recall of each class, and recall against box area, from predictions.

The files come from ``tools/test.py CONFIG CHECKPOINT --out FILE.pkl``. The config is the one that
they were written with: its test split has the truth. See docs/data_tools.md.
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions, read_config
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.apis.result_figures import draw_area_recall, draw_class_scores
from cnnrnn_mm.apis.results import read_predictions, read_truth
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.errors import UsageError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('results', nargs='+', help='one or more files of predictions (.pkl)')
    parser.add_argument('--labels', nargs='+', help='a name for each file; default: its own')
    parser.add_argument('--out', required=True, help='folder for the figures and their numbers')
    parser.add_argument(
        '--topk', type=int, help='score the k best classes of pred_score instead of pred_label'
    )
    parser.add_argument(
        '--ignore-difficult',
        action='store_true',
        help='a predicted label of which an image shows difficult objects only is no mistake',
    )
    parser.add_argument('--bins', type=int, default=10, help='most bins of box areas')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value; lists as key="[a,b]" or key=a,b',
    )
    return parser.parse_intermixed_args()  # files may stand behind options


def name_results(args: argparse.Namespace) -> dict[str, str]:
    """A name for each file."""
    names = [Path(one).stem for one in args.results] if args.labels is None else args.labels
    if len(names) != len(args.results):
        raise UsageError(
            f'--labels has {len(names)} names for {len(args.results)} files: give one for each'
        )
    if len(set(names)) < len(names):
        raise UsageError(f'files share a name ({", ".join(names)}): give different --labels')
    return dict(zip(names, args.results, strict=True))


def load_config(args: argparse.Namespace) -> Config:
    """The config, with the command line's changes."""
    return read_config(args.config, args.cfg_options)


def main() -> None:
    """Read, compare, draw."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        files, cfg = name_results(args), load_config(args)
        if args.bins < 1:
            raise UsageError(f'--bins is {args.bins}: give a number from 1 on')
        truth = read_truth(build_split_dataset(cfg, 'test'))
        predicted = {name: read_predictions(path, truth, args.topk) for name, path in files.items()}
        if args.ignore_difficult:
            if truth.difficult is None:
                raise UsageError(f'{truth.name} does not say what is difficult: leave it out')
            predicted = {name: one & ~truth.difficult for name, one in predicted.items()}
        out = make_out_folder(args.out)
        what = 'predicted sets' if args.topk is None else f'{args.topk} best labels'
        title = f'{Path(args.config).stem}, {len(truth.paths):,} images, {what}'
        written = draw_class_scores(truth, predicted, out, title)
        if truth.areas is None or not any(truth.areas):
            console.print(
                f'{truth.name} has no box areas (gt_area): no figure of recall against box area.',
                soft_wrap=True,
                markup=False,
            )
        else:
            written += draw_area_recall(truth, predicted, out, title, args.bins)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False, highlight=False)


if __name__ == '__main__':
    main()
