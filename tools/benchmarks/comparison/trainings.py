# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The trainings that a row of the comparison needs."""

import argparse
import copy
from pathlib import Path

from mmengine.config import Config
from tables.data import Data, make_of
from tables.row import Row, apply_row, load_row
from tables.runs import Run, make_training, plain

from cnnrnn_mm.apis.fingerprint import digest
from cnnrnn_mm.datasets.cached_features import read_meta

__all__ = ['FOLDER', 'ROWS', 'has_needs', 'make_run', 'trainings_of']

FOLDER = Path(__file__).parent / 'rows'
INDEPENDENT = ('linear', 'mlp', 'asl', 'csra', 'mlp-ensemble', 'nearest', 'conditional-mlp')
PATHS = ('paper', 'relu', 'corel5k', 'pla', 'mla', 'set-loss', 'skip', 'plus')
PLUS = ('no-rnn', 'no-dependency', 'image', 'attached', 'rare-first')
SKIP = (
    'no-skip',
    'attached',
    'no-rnn',
    'small',
    'no-average',
    'paths-alone',
    'no-dropout',
)
ABLATIONS = (*(f'plus-{name}' for name in PLUS), *(f'skip-{name}' for name in SKIP))
ROWS = (*INDEPENDENT, *PATHS, *ABLATIONS)

#: Of what an evaluation writes; raised when that changes.
FORMAT = 1


def trainings_of(row: Row, seed: int, rows: list[Row]) -> list[tuple[Row, int]]:
    """The rows and seeds that are trained for a row."""
    if row.derived is None:
        return [(row, seed)]
    if row.derived['type'] == 'nearest':
        return []
    name = row.derived['of']
    there = [one for one in rows if one.name == name]
    of = there[0] if there else load_row(name, FOLDER, ROWS)
    return [(of, seed + other) for other in row.derived['seeds']]


def has_needs(needs: str | None, features: str | None) -> bool:
    """Whether what a row needs is there."""
    if needs is None:
        return True
    if features is None:
        return False
    shape = read_meta(Path(features) / 'train')['shape']
    return needs == 'cached features' or len(shape) > 3


def make_run(
    cfg: Config,
    row: Row,
    seed: int,
    factor: float,
    folder: Path,
    data: Data,
    facts: dict[str, dict],
    args: argparse.Namespace,
) -> Run:
    """Make the config of a training whose outputs for some splits are kept.

    Args:
        cfg: The config of the comparison; it is not changed.
        row: The row.
        seed: Of weights, order of the images and all other draws.
        factor: Of the learning rate.
        folder: For everything that the run writes.
        data: The config's data.
        facts: Name, images and digest of each split that is evaluated.
        args: Of the command line.
    """
    changed = apply_row(cfg, row, factor)
    changed.merge_from_dict(copy.deepcopy(args.cfg_options or {}))
    options = dict(
        known_seed=args.known_seed,
        samples=args.samples,
        sample_seed=args.known_seed,
        max_prefixes=args.max_prefixes,
    )
    final, loaders, trained = make_training(changed, seed, folder, data, args.features, list(facts))
    digests = {}
    for split, loader in loaders.items():
        made_of = make_of(args.features, split)
        digests[split] = digest([FORMAT, facts[split], made_of, plain(loader), plain(options)])
    return Run(
        row.name,
        seed,
        factor,
        final,
        loaders,
        folder,
        trained,
        digests,
        dump=True,
        suffix='.pt',
        options=options,
    )
