# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""All runs of a comparison."""

import argparse
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from rich.console import Console
from tables.data import Data, describe_data, describe_split, split_of
from tables.plan import check_names, describe_work, open_config
from tables.pool import perform_all
from tables.row import Row
from tables.runs import Run

from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.datasets.annotations import read_labels
from cnnrnn_mm.errors import UsageError

from .evaluation import perform
from .measure import Measure
from .row_files import RowFiles
from .trainings import LABEL_ROWS, check_members, has_needs, make_run, trainings_of

__all__ = ['Comparison', 'Key', 'make_comparison']

#: Name of the row, seed, factor of the learning rate.
Key = tuple[str, int, float]


@dataclass
class Comparison:
    """What is trained and compared.

    Attributes:
        name: Stem of the config.
        config: Its path.
        features: Folder of its cached features, or None.
        folder: For everything of it.
        data: What it trains and evaluates on.
        splits: ``('val',)`` or ``('val', 'test')``: thresholds are chosen on the first and the
            figures are of the last.
        images: Of train and the splits, the label lists and the paths, in the dataset's order.
        rows: The rows.
        missing: Why rows are not run, by name.
        runs: All trainings, those that only other rows read among them.
        records: What they gave.
        measure: Of the further table; None for none.
    """

    name: str
    config: str
    features: str | None
    folder: Path
    data: Data
    splits: tuple[str, ...]
    images: dict[str, tuple[list[np.ndarray], list[str]]]
    rows: list[Row]
    missing: dict[str, str]
    runs: dict[Key, Run]
    records: dict[Key, dict[str, Any]] = field(default_factory=dict)
    measure: Measure | None = None

    def perform(self, args: argparse.Namespace, console: Console) -> int:
        """Do what is not done yet; how many runs failed."""
        runs = list(self.runs.values())
        done = sum(one.is_finished() for one in runs)
        console.print(
            f'{self.name}: {len(runs)} runs, {done} of them finished before; '
            f'{self.data.train["images"]} images to train on, {self.data.evaluated["images"]} of '
            f'{self.data.split}, {len(self.data.classes)} labels',
            markup=False,
            soft_wrap=True,
        )
        for name, why in self.missing.items():
            console.print(f'{name}: not run: needs {why}', markup=False, soft_wrap=True)
        records = perform_all(runs, describe_work(), args.jobs, args.threads, console, perform)
        self.records = dict(zip(self.runs, records, strict=True))
        return len(self.failed())

    @property
    def training_sets(self) -> set[frozenset[int]]:
        """The label sets of the training split."""
        return {frozenset(one.tolist()) for one in self.images['train'][0]}

    def failed(self) -> dict[str, str]:
        """Why each run that failed did."""
        return {
            self.runs[key].name: record['error']
            for key, record in self.records.items()
            if 'error' in record
        }


def make_comparison(args: argparse.Namespace, files: RowFiles = LABEL_ROWS) -> Comparison:
    """Read the config, and check all that can be checked before the first training.

    Args:
        args: Of the command line.
        files: Of the rows.

    Raises:
        UsageError: If config, rows, data, features or options do not fit each other.
    """
    cfg = open_config(args.config)
    rows = check_names([files.load(one) for one in args.rows])
    data, facts = _read_data(cfg, args)
    missing = {row.name: row.needs for row in rows if not has_needs(row.needs, cfg, args.features)}
    rows = [row for row in rows if row.name not in missing]
    if args.lr_factors is not None:
        rows = [row for row in rows if row.derived is None]
    name, runs = Path(args.config).stem, {}
    for row, seed in product(rows, args.seeds):
        needed = trainings_of(row, seed, rows, files)
        if row.derived is not None:
            check_members(cfg, row, [made for made, _ in needed], files)
        for made, own_seed in needed:
            for factor in args.lr_factors or [made.lr_factor]:
                folder = args.out / name / made.name / f'seed{own_seed}'
                folder = folder if args.lr_factors is None else folder / f'lr_x{factor:g}'
                key = (made.name, own_seed, factor)
                runs[key] = make_run(cfg, made, own_seed, factor, folder, data, facts, args, files)
    images = {one: read_labels(build_split_dataset(cfg, one)) for one in ('train', *facts)}
    return Comparison(
        name,
        args.config,
        args.features,
        args.out / name,
        data,
        tuple(facts),
        images,
        rows,
        missing,
        runs,
    )


def _read_data(cfg: Config, args: argparse.Namespace) -> tuple[Data, dict[str, dict]]:
    """The data, and the facts of each split; thresholds need val, whatever is measured."""
    split_of(cfg, args.config, 'val')
    data = describe_data(cfg, split_of(cfg, args.config, args.split))
    if args.split == 'val':
        return data, {'val': data.evaluated}
    val, _ = describe_split(cfg, 'val')
    if val['digest'] == data.evaluated['digest']:
        raise UsageError(
            f'the test split of {args.config} is its val: name the test images in '
            'test_dataloader, or leave --split test out'
        )
    return data, {'val': val, 'test': data.evaluated}
