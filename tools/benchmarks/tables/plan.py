# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""All runs of one config, and its tables."""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from machine import describe_run
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console

from cnnrnn_mm.errors import UsageError

from .data import Data, describe_data, split_of
from .pool import perform_all
from .published import PublishedSet, find_set, known_sets
from .row import Row, apply_row, has_paths, load_row
from .runs import Run, make_run

__all__ = ['Plan', 'check_names', 'describe_work', 'make_plan', 'open_config']

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Plan:
    """What is made of one config.

    Attributes:
        name: Stem of the config.
        config: Path of the config.
        features: Folder of its cached features, or None.
        data: What it trains and evaluates on.
        rows: The rows.
        paths: Whether the head of each row decodes paths.
        published: The paper's figures for this data, or None.
        runs: By name of the row, seed and factor of the learning rate.
        records: What they gave, under the same keys.
    """

    name: str
    config: str
    features: str | None
    data: Data
    rows: list[Row]
    paths: dict[str, bool]
    published: PublishedSet | None
    runs: dict[tuple[str, int, float], Run]
    records: dict[tuple[str, int, float], dict[str, Any]] = field(default_factory=dict)

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
        records = perform_all(runs, describe_work(), args.jobs, args.threads, console)
        self.records = dict(zip(self.runs, records, strict=True))
        return len(self.failed())

    def failed(self) -> dict[str, str]:
        """Why each run that failed did."""
        return {
            f'{self.name}, {self.runs[key].name}': record['error']
            for key, record in self.records.items()
            if 'error' in record
        }


def make_plan(args: argparse.Namespace, number: int) -> Plan:
    """Read a config, and check all that can be checked before the first training.

    Args:
        args: Of the command line.
        number: Which of its configs.

    Raises:
        UsageError: If config, rows, data, features or options do not fit each other.
    """
    config = args.configs[number]
    names = [Path(one).stem for one in args.configs]
    if names.count(names[number]) > 1:
        raise UsageError(f"two configs are called '{names[number]}': rename one, or run them apart")
    cfg = open_config(config)
    rows = check_names([load_row(one) for one in args.rows])
    split = split_of(cfg, config, args.split)
    data = describe_data(cfg, split)
    if max(args.k) > len(data.classes):
        raise UsageError(f'--k is {max(args.k)}, but {config} has {len(data.classes)} labels')
    features = None if args.features is None else args.features[number]
    runs = {}
    for row, seed in product(rows, args.seeds):
        for factor in [row.lr_factor] if args.lr_factors is None else args.lr_factors:
            folder = args.out / names[number] / row.name / f'seed{seed}'
            folder = folder if args.lr_factors is None else folder / f'lr_x{factor:g}'
            runs[row.name, seed, factor] = make_run(
                cfg,
                row,
                seed,
                folder,
                data,
                args.k,
                features,
                factor,
                args.cfg_options,
                args.dump_predictions,
            )
    paths = {row.name: has_paths(apply_row(cfg, row)) for row in rows}
    published = _published(args.published, cfg, split)
    return Plan(names[number], config, features, data, rows, paths, published, runs)


def open_config(path: str) -> Config:
    """Load the config that the rows change, and make its scope the current one.

    Raises:
        UsageError: If there is none, or it has no head of paths.
    """
    if not Path(path).is_file():
        raise UsageError(f'config {path} does not exist: check the path')
    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    if cfg.get('model', {}).get('head') is None or not has_paths(cfg):
        raise UsageError(f'{path} has no CNNRNNHead: give a CNN-RNN config, the rows change it')
    return cfg


def check_names(rows: list[Row]) -> list[Row]:
    """The rows; a ``UsageError`` where two have one name."""
    if len({one.name for one in rows}) < len(rows):
        raise UsageError(f'two rows have one name: {", ".join(one.name for one in rows)}')
    return rows


def describe_work() -> dict[str, Any]:
    """Date, command, versions, machine and, in a checkout, the state of the sources."""
    return {**describe_run(torch.device('cpu')), 'git': _git_state()}


def _published(asked: str, cfg: Config, split: str) -> PublishedSet | None:
    if asked in ('auto', 'none'):
        return find_set(cfg, split) if asked == 'auto' else None
    if asked not in known_sets():
        raise UsageError(
            f"--published is '{asked}': choose from auto, none, {', '.join(known_sets())}"
        )
    return known_sets()[asked]


def _git_state() -> dict[str, Any] | None:
    """The commit, and whether files differ from it; None outside a checkout."""
    commit = _git(['rev-parse', 'HEAD'])
    if commit is None:
        return None
    return dict(commit=commit, changed=bool(_git(['status', '--porcelain'])))


def _git(arguments: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            ['git', '-C', str(ROOT), *arguments], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
