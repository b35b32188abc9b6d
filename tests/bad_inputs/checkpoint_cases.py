# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Checkpoints that can't be right."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .case import Case
from .config_cases import train
from .good_run import GoodRun

__all__ = ['CHECKPOINT_CASES', 'Bomb']


class Bomb:
    """Makes the folder ``exploded`` where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / 'exploded')

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


def _file(name: str, write: Callable[[GoodRun, Path], object], says: str, status: int = 2) -> Case:
    """``write`` is given the path of the checkpoint."""

    def make(run: GoodRun, here: Path) -> list:
        write(run, here / 'a.pth')
        return [run.photo, '--checkpoint', here / 'a.pth', '--device', 'cpu', '--workers', 0]

    return Case('checkpoint', name, 'predict.py', make, says, status)


def _changed(name: str, change: Callable[[dict], object], says: str, status: int = 2) -> Case:
    """``change`` is given what a good checkpoint holds."""

    def write(run: GoodRun, path: Path) -> None:
        content = torch.load(run.checkpoint, weights_only=True)
        changed = change(content)
        torch.save(content if changed is None else changed, path)

    return _file(name, write, says, status)


def _meta(name: str, key: str, value: Any, says: str) -> Case:
    return _changed(name, lambda content: content['meta'].update({key: value}), says)


def _order(name: str, value: Any, says: str) -> Case:
    return _meta(name, 'label_order', {'': value}, says)


def _bytes(share: float) -> Callable[[GoodRun, Path], object]:
    def write(run: GoodRun, path: Path) -> None:
        content = run.checkpoint.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return write


def _zip(run: GoodRun, path: Path) -> None:
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('../../outside.txt', 'text')


def _weight(content: dict) -> str:
    return next(name for name in content['state_dict'] if name.startswith('head.'))


def _without_weight(content: dict) -> None:
    content['state_dict'].pop(_weight(content))


def _short_weight(content: dict) -> None:
    name = _weight(content)
    content['state_dict'][name] = content['state_dict'][name][:1]


def _text_weight(content: dict) -> None:
    content['state_dict'][_weight(content)] = 'text'


def _nan_weights(content: dict) -> None:
    for name, value in content['state_dict'].items():
        if name.startswith('head.') and value.is_floating_point():
            value.fill_(float('nan'))


def _foreign(content: dict) -> dict:
    return {'fc.weight': torch.ones(3, 3)}


def _tested(run: GoodRun, here: Path) -> list:
    content = torch.load(run.checkpoint, weights_only=True)
    content['meta']['dataset_meta']['classes'] = ('bus', 'dog', 'cat', 'person')
    torch.save(content, here / 'a.pth')
    return [run.config, here / 'a.pth', '--work-dir', here / 'work']


def _resumed(run: GoodRun, here: Path) -> list:
    (here / 'a.pth').write_bytes(run.checkpoint.read_bytes()[:3000])
    return train(run.config, here, '--resume', here / 'a.pth')


def _pretrained(name: str, write: Callable[[Path], object], says: str) -> Case:
    """``init_cfg`` of the backbone names the file."""

    def make(run: GoodRun, here: Path) -> list:
        write(here / 'a.pth')
        init = f"dict(type='Pretrained', checkpoint={str(here / 'a.pth')!r}, prefix='backbone')"
        return train(run.config_with(here, f"model['backbone']['init_cfg'] = {init}"), here)

    return Case('checkpoint', name, 'train.py', make, says)


CODE = '__import__("os").mkdir("exploded")\nmodel = dict(type="ImageClassifier")'
CHECKPOINT_CASES = (
    _file('a file that does not exist', lambda run, path: None, 'a.pth does not exist'),
    _file('a folder', lambda run, path: path.mkdir(), 'a.pth'),
    _file('an empty file', _bytes(0), 'a.pth'),
    _file('half a file', _bytes(0.5), 'a.pth'),
    _file('all but the end of a file', _bytes(0.99), 'a.pth'),
    _file('a text', lambda run, path: path.write_text('no checkpoint'), 'a.pth'),
    _file('another zip archive', _zip, 'a.pth'),
    _file('a pickle bomb', lambda run, path: torch.save(
        {'state_dict': {}, 'extra': Bomb(path.parent)}, path), 'could run code'),
    _file('a bomb that is a bare pickle', lambda run, path: path.write_bytes(
        pickle.dumps(Bomb(path.parent))), 'a.pth'),
    _changed('a list', lambda content: [content], 'list'),
    _changed('a tensor', lambda content: torch.ones(2), 'Tensor'),
    _changed('no state_dict', lambda content: {'meta': content['meta']}, 'a.pth'),
    _changed('a state_dict that is a list', lambda content: content.update(state_dict=[]), 'a.pth'),
    _changed('meta that is a text', lambda content: content.update(meta='text'), 'a.pth'),
    _changed('weights of another model', _foreign, 'a.pth'),
    _changed('a weight is missing', _without_weight, 'a.pth lacks 1'),
    _changed('a weight of another shape', _short_weight, 'shape'),
    _changed('a weight that is a text', _text_weight, 'a.pth'),
    _changed('weights that are NaN', _nan_weights, 'val_0000.jpg', 1),
    _meta('no config inside', 'cfg', '', 'holds no config'),
    _meta('a config that is code', 'cfg', CODE, 'not made of plain values'),
    _meta('a config nested 3,000 times', 'cfg', 'a = ' + '[' * 3000 + ']' * 3000, 'plain values'),
    _meta('a config of another kind', 'cfg', 'a = 1', 'no model'),
    _meta('a config of 2,000 powers', 'cfg', 'a = 9' + '**9' * 2000, 'plain values'),
    _meta('a class too few', 'dataset_meta', {'classes': ('bus', 'cat', 'dog')}, "'person'"),
    _meta('classes in another order', 'dataset_meta', {'classes': ('dog', 'bus', 'cat', 'person')},
          "'dog'"),
    _meta('classes that are a number', 'dataset_meta', {'classes': 4}, '4'),
    _order('a label order with a repeat', {'order': 'given', 'sequence': [0, 0, 1, 2]}, 'a.pth'),
    _order('a label order that is too short', {'order': 'given', 'sequence': [0]}, 'has 1 classes'),
    _order('a label order that is a text', 'frequent_first', 'a.pth'),
    _pretrained('a backbone from a file that does not exist', lambda path: None, 'a.pth does not'),
    _pretrained('a backbone from a pickle bomb', lambda path: torch.save(
        {'state_dict': {}, 'extra': Bomb(path.parent)}, path), 'could run code'),
    Case('checkpoint', 'testing one of another class order', 'test.py', _tested, "'dog'"),
    Case('checkpoint', 'resuming from half a file', 'train.py', _resumed, 'a.pth'),
)  # fmt: skip
