# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a config, a row and a seed to what is to be trained and evaluated."""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from cnnrnn_mm.apis import use_cached_features
from cnnrnn_mm.apis.dataset_configs import pipeline_of
from cnnrnn_mm.apis.fingerprint import digest
from cnnrnn_mm.version import __version__

from .data import Data, make_of
from .protocols import Decoding, decodings
from .row import Row, apply_row, has_paths

__all__ = ['Run', 'make_run', 'make_training', 'plain']

RECORD = 'record.json'


@dataclass(frozen=True)
class Run:
    """One training and its evaluations.

    Attributes:
        row: Name of the row.
        seed: Of the training.
        factor: Of the learning rate.
        cfg: Of the training, without an evaluation.
        loaders: Configs of the dataloaders of the evaluated splits.
        folder: For everything that the run writes.
        digest: Of all that decides the weights.
        digests: Of all that decides each evaluation, by its name, beside the weights.
        dump: Whether each evaluation leaves a file of predictions.
        suffix: Of these files.
        decodings: What is evaluated, for the tables of the paper.
        options: Other options of the evaluations.
    """

    row: str
    seed: int
    factor: float
    cfg: Config
    loaders: dict[str, ConfigDict]
    folder: Path
    digest: str
    digests: dict[str, str]
    dump: bool = False
    suffix: str = '.pkl'
    decodings: list[Decoding] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

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

    def dump_path(self, evaluation: str) -> Path:
        """Where the predictions of an evaluation are written."""
        return self.folder / f'{evaluation}{self.suffix}'

    def is_finished(self) -> bool:
        """Whether nothing is left to be done."""
        return len(self.finished(self.read_record())) == len(self.digests)

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
    final, loaders, trained = make_training(changed, seed, folder, data, features, [data.split])
    about = [data.evaluated, make_of(features, data.split), plain(loaders[data.split])]
    digests = {one.name: digest([*about, plain(asdict(one))]) for one in ways}
    factor = row.lr_factor if lr_factor is None else lr_factor
    return Run(
        row.name, seed, factor, final, loaders, folder, trained, digests, dump, decodings=ways
    )


def make_training(
    cfg: Config,
    seed: int,
    folder: Path,
    data: Data,
    features: str | None,
    splits: Sequence[str],
) -> tuple[Config, dict[str, ConfigDict], str]:
    """A training without an evaluation, which saves the weights of the last epoch.

    Args:
        cfg: Config of a row, with all that the run's options change; it is not changed.
        seed: Of weights, order of the images and all other draws.
        folder: For everything that the run writes.
        data: The config's data.
        features: Folder of cached features; None for images in the loop.
        splits: Those that will be evaluated.

    Returns:
        The config, the dataloaders of the splits, and the digest of all that decides the weights.
    """
    changed = copy.deepcopy(cfg)
    if features is not None:
        changed = use_cached_features(changed, features, ('train', *splits))
    loaders = {split: changed[f'{split}_dataloader'] for split in splits}
    for one in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            changed[f'{one}_{part}'] = None
    by_epoch = changed.train_cfg.get('by_epoch', True)
    changed.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=-1, by_epoch=by_epoch, save_optimizer=False
    )
    changed.randomness = {**(changed.get('randomness') or {}), 'seed': seed}
    changed.resume, changed.launcher = False, 'none'
    trained = digest([__version__, data.train, make_of(features, 'train'), plain(changed)])
    changed.work_dir = str(folder)
    # The host writes a config several times a run, and formatting it takes a second each time.
    final = Config(changed.to_dict(), filename=changed.filename, format_python_code=False)
    return final, loaders, trained


def _names_difficult(cfg: Config, split: str) -> bool:
    """Whether samples of a split come with the labels that count neither way."""
    pipeline = pipeline_of(cfg[f'{split}_dataloader'].dataset)
    return any('gt_label_difficult' in one.get('meta_keys', ()) for one in pipeline)


def plain(value: Any) -> Any:
    """In types that JSON has."""
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, '__qualname__', None) or repr(value)
