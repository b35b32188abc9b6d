# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The trainings that a row of the comparison needs."""

import argparse
import copy
from pathlib import Path

from mmengine.config import Config
from tables.data import Data, make_of
from tables.row import Row, has_paths
from tables.runs import Run, make_training, plain

from cnnrnn_mm.apis.dataset_configs import leaves
from cnnrnn_mm.apis.fingerprint import digest
from cnnrnn_mm.datasets.cached_features import read_meta
from cnnrnn_mm.errors import UsageError

from .row_files import RowFiles

__all__ = [
    'FOLDER',
    'LABEL_ROWS',
    'ROWS',
    'check_members',
    'has_needs',
    'make_run',
    'members_of',
    'trainings_of',
]

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
ORDERS = ('skip-rare-first', 'skip-random-order', 'orders-3', 'skip-ensemble')
ROWS = (*INDEPENDENT, *PATHS, *ABLATIONS, *ORDERS)
LABEL_ROWS = RowFiles(FOLDER, ROWS, ROWS)

#: Kinds of derived rows that are made of trained models, and whether of models of paths.
COMBINED = {'ensemble': False, 'mixture': True}

#: What a row may need: boxes of the training images.
BOXES = 'boxes=True in the training dataset'

#: Of what an evaluation writes; raised when that changes.
FORMAT = 3


def trainings_of(
    row: Row, seed: int, rows: list[Row], files: RowFiles = LABEL_ROWS
) -> list[tuple[Row, int]]:
    """The rows and seeds that are trained for a row."""
    if row.derived is None:
        return [(row, seed)]
    if row.derived['type'] == 'nearest':
        return []
    there = {one.name: one for one in rows}
    return [
        (there[name] if name in there else files.load(name), own_seed)
        for name, own_seed in members_of(row, seed)
    ]


def members_of(row: Row, seed: int) -> list[tuple[str, int]]:
    """Names and seeds of the trainings that a derived row combines.

    ``of`` is the name of a row or a list of them, each with all ``seeds``, which are added to the
    row's own.
    """
    names = row.derived['of']
    names = [names] if isinstance(names, str) else names
    return [(name, seed + other) for name in names for other in row.derived['seeds']]


def check_members(cfg: Config, row: Row, members: list[Row], files: RowFiles = LABEL_ROWS) -> None:
    """Refuse a derived row whose members can't be combined in its way."""
    kind = row.derived['type']
    if kind == 'nearest':
        return
    if kind not in COMBINED:
        raise UsageError(
            f"row {row.name}: derived type '{kind}' is not known: choose nearest, "
            f'{" or ".join(COMBINED)}'
        )
    for one in members:
        if one.derived is not None or has_paths(files.config_of(cfg, one)) != COMBINED[kind]:
            raise UsageError(
                f"row {row.name}: {one.name} can't be a member of type '{kind}': an ensemble is of "
                'trained models of independent labels, a mixture of trained models of label paths'
            )


def has_needs(needs: str | None, cfg: Config, features: str | None) -> bool:
    """Whether what a row needs is there."""
    if needs is None:
        return True
    if needs == BOXES:
        return any(one.get('boxes') for one in leaves(cfg.train_dataloader.dataset))
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
    files: RowFiles = LABEL_ROWS,
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
        files: That the row is of.
    """
    changed = files.config_of(cfg, row, factor)
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
