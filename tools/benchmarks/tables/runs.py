# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a config, a row and a seed to what is to be trained and evaluated."""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from cnnrnn_mm.apis import use_cached_features
from cnnrnn_mm.apis.dataset_configs import pipeline_of
from cnnrnn_mm.apis.fingerprint import digest
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.datasets.cached_features import read_meta
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.version import __version__

from .protocols import Decoding, decodings
from .row import Row, apply_row, has_paths

__all__ = ['Data', 'Run', 'describe_data', 'make_run', 'split_of']

RECORD = 'record.json'


@dataclass(frozen=True)
class Data:
    """What a config trains and evaluates on.

    Attributes:
        split: The one that is evaluated.
        classes: C class names.
        train: Name, number of images and digest of paths and labels.
        evaluated: The same of the split.
    """

    split: str
    classes: list[str]
    train: dict[str, Any]
    evaluated: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One training and its evaluations.

    Attributes:
        row: Name of the row.
        seed: Of the training.
        factor: Of the learning rate.
        cfg: Of the training, without an evaluation.
        loader: Config of the evaluated split's dataloader.
        decodings: What is evaluated.
        folder: For everything that the run writes.
        digest: Of all that decides the weights.
        digests: Of all that decides each evaluation, beside the weights.
        dump: Whether the predictions are written, too.
    """

    row: str
    seed: int
    factor: float
    cfg: Config
    loader: ConfigDict
    decodings: list[Decoding]
    folder: Path
    digest: str
    digests: dict[str, str]
    dump: bool = False

    @property
    def name(self) -> str:
        """For progress and messages."""
        return f'{self.row}, seed {self.seed}'

    def finished(self, record: dict) -> list[str]:
        """The evaluations that a record of earlier holds and that need not be made again."""
        if (record.get('training') or {}).get('digest') != self.digest:
            return []
        made = record.get('evaluations') or {}
        return [
            name
            for name, value in self.digests.items()
            if (made.get(name) or {}).get('digest') == value
            and (not self.dump or self.dump_path(name).is_file())
        ]

    def dump_path(self, decoding: str) -> Path:
        """Where the predictions of a decoding are written."""
        return self.folder / f'{decoding}.pkl'

    def read_record(self) -> dict:
        """What an earlier run left; empty where there is nothing that can be read."""
        try:
            return json.loads((self.folder / RECORD).read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}

    def write_record(self, record: dict) -> None:
        """Replace the record in one step."""
        beside = self.folder / f'.{RECORD}.new'
        beside.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
        beside.replace(self.folder / RECORD)


def split_of(cfg: Config, name: str, split: str | None) -> str:
    """The split to evaluate: the one asked for, or val, or test where there is no val.

    Raises:
        UsageError: If the config does not have it.
    """
    there = [one for one in ('val', 'test') if cfg.get(f'{one}_dataloader') is not None]
    if split is not None and split not in there or not there:
        has = ' and '.join(there) if there else 'neither val nor test'
        raise UsageError(f'{name} has no {split or "split to evaluate"}: it has {has}')
    return there[0] if split is None else split


def describe_data(cfg: Config, split: str) -> Data:
    """Read the label lists of both splits."""
    facts = []
    for one in ('train', split):
        dataset = build_split_dataset(cfg, one)
        labels, paths = read_labels(dataset)
        content = [[path, label.tolist()] for path, label in zip(paths, labels, strict=True)]
        facts.append(dict(name=describe(dataset), images=len(paths), digest=digest(content)))
        classes = class_names(dataset)
    if classes is None:
        raise UsageError(f'{facts[1]["name"]} has no class names: give metainfo=dict(classes=...)')
    return Data(split, classes, *facts)


def make_run(
    cfg: Config,
    row: Row,
    seed: int,
    folder: Path,
    data: Data,
    ks: Sequence[int],
    features: str | None = None,
    lr_factor: float | None = None,
    options: dict | None = None,
    dump: bool = False,
) -> Run:
    """Make the config of a training that is evaluated behind its last epoch, and only then.

    Args:
        cfg: The CNN-RNN config; it is not changed.
        row: The row.
        seed: Of weights, order of the images and all other draws.
        folder: For everything that the run writes.
        data: The config's data.
        ks: Numbers of labels.
        features: Folder of cached features; None for images in the loop.
        lr_factor: Instead of the row's own.
        options: Entries that are overridden in all rows, as ``--cfg-options`` gives them.
        dump: Write the predictions, too.
    """
    changed = apply_row(cfg, row, lr_factor)
    changed.merge_from_dict(copy.deepcopy(options or {}))
    own = changed.get(f'{data.split}_evaluator') or []
    own = own if isinstance(own, list) else [own]
    ways = decodings(has_paths(changed), ks, own, _names_difficult(changed, data.split))
    if features is not None:
        changed = use_cached_features(changed, features, ('train', data.split))
    loader = changed[f'{data.split}_dataloader']
    for one in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            changed[f'{one}_{part}'] = None
    by_epoch = changed.train_cfg.get('by_epoch', True)
    changed.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=-1, by_epoch=by_epoch, save_optimizer=False
    )
    changed.randomness = {**(changed.get('randomness') or {}), 'seed': seed}
    changed.resume, changed.launcher = False, 'none'
    seen = [_make_of(features, one) for one in ('train', data.split)]
    trained = digest([__version__, data.train, seen[0], _plain(changed)])
    digests = {
        one.name: digest([data.evaluated, seen[1], _plain(loader), _plain(asdict(one))])
        for one in ways
    }
    changed.work_dir = str(folder)
    # The host writes a config several times a run, and formatting it takes a second each time.
    final = Config(changed.to_dict(), filename=changed.filename, format_python_code=False)
    factor = row.lr_factor if lr_factor is None else lr_factor
    return Run(row.name, seed, factor, final, loader, ways, folder, trained, digests, dump)


def _names_difficult(cfg: Config, split: str) -> bool:
    """Whether samples of a split come with the labels that count neither way."""
    pipeline = pipeline_of(cfg[f'{split}_dataloader'].dataset)
    return any('gt_label_difficult' in one.get('meta_keys', ()) for one in pipeline)


def _make_of(features: str | None, split: str) -> dict | None:
    """What a split's cached features were made from."""
    if features is None or not (Path(features) / split).is_dir():  # test on the features of val
        return None
    return read_meta(Path(features) / split)['fingerprint']


def _plain(value: Any) -> Any:
    """In types that JSON has."""
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, '__qualname__', None) or repr(value)
