# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Command lines that can't be right."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .case import Case
from .checkpoint_cases import Bomb
from .config_cases import train
from .good_run import GoodRun
from .image_cases import predict

__all__ = ['COMMAND_CASES']


def _case(name: str, tool: str, make: Callable[[GoodRun, Path], list], says: str) -> Case:
    return Case('command line', name, tool, make, says)


def _train(name: str, says: str, *words: object) -> Case:
    return _case(name, 'train.py', lambda run, here: train(run.config, here, *words), says)


def _options(name: str, says: str, *words: str) -> Case:
    return _train(name, says, '--cfg-options', *words)


def _test(name: str, says: str, *words: object) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        return [run.config, run.checkpoint, '--work-dir', here / 'work', *words]

    return _case(name, 'test.py', make, says)


def _predict(name: str, says: str, *words: object) -> Case:
    return _case(name, 'predict.py', lambda run, here: predict(run, run.photo, *words), says)


def _below_a_file(run: GoodRun, here: Path) -> list:
    (here / 'file').write_text('')
    return [run.voc, '--split', 'val', '--out', here / 'file' / 'out.json']


def _onto_its_input(run: GoodRun, here: Path) -> list:
    file = here / 'a.csv'
    file.write_text('path,labels\na.jpg,cat\n')
    return [file, '--out', file]


def _results(name: str, content: Callable[[Path], bytes] | None, says: str) -> Case:
    """A file of predictions for ``plot_results.py``."""

    def make(run: GoodRun, here: Path) -> list:
        if content is not None:
            (here / 'a.pkl').write_bytes(content(here))
        return [run.config, here / 'a.pkl', '--out', here / 'work']

    return _case(f'results: {name}', 'plot_results.py', make, says)


def _statistics(name: str, says: str, *words: object) -> Case:
    return _case(name, 'label_statistics.py', lambda run, here: [run.config, *words], says)


def _foreign_folder(run: GoodRun, here: Path) -> list:
    (here / 'data').mkdir()
    (here / 'data' / 'diary.txt').write_text('mine')
    return ['--out', here / 'data', '--train', 2, '--val', 1, '--test', 1]


COMMAND_CASES = (
    _case('no argument', 'train.py', lambda run, here: [], 'config'),
    _case('a config that does not exist', 'train.py', lambda run, here: ['none.py'], 'none.py'),
    _case('a folder as config', 'train.py', lambda run, here: [here], 'is a folder'),
    _train('an option that does not exist', '--epochs', '--epochs', 5),
    _train('a launcher that does not exist', 'slrum', '--launcher', 'slrum'),
    _train('features that are not there', 'none', '--features', 'none'),
    _train('resuming from a file that is not there', 'none.pth', '--resume', 'none.pth'),
    _options('an option without =', "'max_epochs'", 'max_epochs'),
    _options('an option without key', "'=5'", '=5'),
    _options('an option with open brackets', 'val_evaluator', 'val_evaluator=[(1,2'),
    _options('an option below a number', 'model.head.num_classes.x', 'model.head.num_classes.x=1'),
    _options('an option below a missing entry of a list', 'val_evaluator.7',
             'val_evaluator.7.type=AveragePrecision'),
    _options('an option with a slip of the pen', "'model'", 'modle.head.embed_dims=4'),
    _options('an option that is no argument', 'max_epoch', 'train_cfg.max_epoch=5'),
    _options('an option out of range', 'val_interval', 'train_cfg.val_interval=0'),
    _test('--out-item without --out', '--out-item', '--out-item', 'pred'),
    _test('--interval 0', '--interval', '--show-dir', 'shown', '--interval', 0),
    _test('--interval as text', "'often'", '--interval', 'often'),
    _test('--tta without tta_model', 'tta_model', '--tta'),
    _test('--out with another ending', 'a.txt', '--out', 'a.txt'),
    _test('--out in a folder that is not there', 'none/a.pkl', '--out', 'none/a.pkl'),
    _test('metrics with another ending', 'a.txt', '--out', 'a.txt', '--out-item', 'metrics'),
    _predict('--batch-size 0', '0', '--batch-size', 0),
    _predict('--workers -1', '-1', '--workers', -1),
    _predict('--top -1', '--top', '--top', -1),
    _predict('a device that does not exist', 'tpu9', '--device', 'tpu9'),
    _predict('a class that is not known', "'dgo'", '--require', 'dgo'),
    _predict('one class required and forbidden', 'dog', '--require', 'dog', '--forbid', 'dog'),
    _predict('--out with another ending', 'a.txt', '--out', 'a.txt'),
    _case('an address of another kind', 'predict.py',
          lambda run, here: predict(run, 'ftp://example.org/a.jpg'), 'ftp://example.org/a.jpg'),
    _statistics('--top 0', '--top', '--top', 0),
    _statistics('a split that does not exist', "'tset'", '--split', 'tset'),
    _results('a file that does not exist', None, 'a.pkl'),
    _results('an empty file', lambda here: b'', 'a.pkl'),
    _results('a text', lambda here: b'no pickle', 'a.pkl'),
    _results('a pickle bomb', lambda here: pickle.dumps([Bomb(here)]), 'could run code'),
    _results('no list', lambda here: pickle.dumps({'a': 1}), 'a.pkl'),
    _results('predictions without labels', lambda here: pickle.dumps([{'img_path': 'a'}] * 2),
             'a.pkl'),
    _results('predictions of other photos', lambda here: pickle.dumps(
        [{'img_path': 'a', 'pred_label': np.array([1])}] * 9), 'a.pkl'),
    _case('an output below a file', 'dataset_converters/voc.py', _below_a_file, 'file/out.json'),
    _case('an output onto its input', 'dataset_converters/csv_labels.py', _onto_its_input, 'a.csv'),
    _case('a folder with other files as output', 'make_demo_data.py', _foreign_folder, 'data'),
    _case('a negative number of scenes', 'make_demo_data.py',
          lambda run, here: ['--out', here / 'data', '--train', -1], '-1'),
)  # fmt: skip
