# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Files of region proposals and folders of features that can't be right."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from feature_cache import write_cache

from .case import Case
from .checkpoint_cases import Bomb
from .config_cases import train
from .good_run import GoodRun

__all__ = ['PROPOSAL_CASES']

ADDED = """
train_dataloader['sampler']['shuffle'] = False
train_dataloader['dataset']['pipeline'].insert(
    1, dict(type='cnnrnn_mm.LoadProposals', file={file!r})
)
"""


def _proposals(
    name: str, write: Callable[[Path], object], says: str, file: str = 'boxes.npz'
) -> Case:
    """``write`` is given the path of the file."""

    def make(run: GoodRun, here: Path) -> list:
        write(here / file)
        return train(run.config_with(here, ADDED.format(file=str(here / file))), here)

    return Case('annotation', f'proposals: {name}', 'train.py', make, says)


def _features(name: str, change: Callable[[Path], object], says: str) -> Case:
    """``change`` is given the folder of a good cache of the training split."""

    def make(run: GoodRun, here: Path) -> list:
        write_cache(here / 'f' / 'train', torch.ones(8, 1, 32), [[0]] * 8, ['a', 'b'])
        change(here / 'f' / 'train')
        return train(run.config, here, '--no-validate', '--features', here / 'f')

    return Case('annotation', f'features: {name}', 'train.py', make, says)


def zip_bomb(path: Path, megabytes: int = 1000) -> None:
    """An archive that unpacks to a thousand times its size."""
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open('a.jpg.npy', 'w') as part,
    ):
        for _ in range(megabytes):
            part.write(bytes(2**20))


def _objects(path: Path) -> None:
    np.savez(path, **{'a.jpg': np.array([Bomb(path.parent)], dtype=object)})


PROPOSAL_CASES = (
    _proposals('a file that does not exist', lambda path: None, 'boxes.npz'),
    _proposals('a text', lambda path: path.write_text('boxes'), 'boxes.npz'),
    _proposals('a pickle bomb', lambda path: path.write_bytes(
        pickle.dumps(Bomb(path.parent))), 'boxes.npz'),
    _proposals('a pickle bomb in an archive', _objects, 'boxes.npz'),
    _proposals('a zip bomb', lambda path: zip_bomb(path, 300), '314,572,800'),
    _proposals('nested 100,000 times', lambda path: path.write_text('[' * 100_000), 'boxes.json',
               'boxes.json'),
    _proposals('none for a photo', lambda path: path.write_text('{"a.jpg": []}'), 'train_0000',
               'boxes.json'),
    _features('a cache that does not say what it was made from', lambda folder: None,
              'f/train'),
    _features('a description nested 100,000 times', lambda folder: (
        folder / 'meta.json').write_text('[' * 100_000), 'meta.json'),
)  # fmt: skip
