# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Configs that can't be right, each met by ``tools/train.py``."""

from pathlib import Path

from .case import Case
from .good_run import GoodRun

__all__ = ['CONFIG_CASES', 'train']


def train(config: Path, here: Path, *more: object) -> list:
    """Arguments of a training that is over after the first epoch."""
    return [config, '--work-dir', here / 'work', *more]


def _case(name: str, extra: str, says: str) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        return train(run.config_with(here, extra), here)

    return Case('config', name, 'train.py', make, says)


HEAD = "model['head']"
ORDER = "train_dataloader['dataset']['pipeline'][1]"
LOAD = "train_dataloader['dataset']['pipeline'][0]"
SKIPPING = "custom_hooks = [dict(type='cnnrnn_mm.SkipUnreadableHook'{})]"
RAW = (
    ('not Python', 'model = dict(', 'bad.py'),
    ('a name that is not defined', 'model = nothing', 'nothing'),
    ('a base file that does not exist', "_base_ = ['none.py']", 'none.py'),
    ('no model', 'work_dir = "work"', 'model'),
    ('an empty file', '', 'model'),
    ('NUL bytes', 'model = 1\0', 'bad.py'),
)


def _raw(name: str, text: str, says: str) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        (here / 'bad.py').write_text(text)
        return train(here / 'bad.py', here)

    return Case('config', name, 'train.py', make, says)


CONFIG_CASES = (
    *(_raw(*one) for one in RAW),
    _case('a type that is not registered', f"{HEAD}['type'] = 'cnnrnn_mm.CNNRNNHed'", 'CNNRNNHed'),
    _case('a model without type', "model.pop('type')", 'type'),
    _case('an argument that does not exist', f"{HEAD}['beams'] = 3", 'beams'),
    _case('a text for a number', f"{HEAD}['embed_dims'] = 'eight'", 'eight'),
    _case('a number for a dict', f"{HEAD}['postprocessor'] = 3", '3'),
    _case('a list for a dict', "model = [model]", 'model'),
    _case('a negative size', f"{HEAD}['hidden_dims'] = -8", '-8'),
    _case('a size of 0', f"{HEAD}['embed_dims'] = 0", '0'),
    _case('num_classes = 0', f"{HEAD}['num_classes'] = 0", '0'),
    _case('num_classes of the head differs', f"{HEAD}['num_classes'] = 5", '5'),
    _case('one-hot labels of another number of classes',
          "data_preprocessor.update(num_classes=7, to_onehot=True)", 'num_classes=7'),
    _case('in_channels differs from the backbone', f"{HEAD}['in_channels'] = 16", '16'),
    _case('an unknown recurrent unit', f"{HEAD}['recurrent'] = 'rnn'", 'rnn'),
    _case('dropout = 1.5', f"{HEAD}['dropout'] = 1.5", '1.5'),
    _case('beam_size = 0', f"{HEAD}['postprocessor'] = dict(beam_size=0)", 'beam_size is 0'),
    _case('beam_size = 2.5', f"{HEAD}['postprocessor'] = dict(beam_size=2.5)", '2.5'),
    _case('num_paths = 0', f"{HEAD}['postprocessor'] = dict(num_paths=0)", 'num_paths is 0'),
    _case('a NaN in the model', f"{HEAD}['postprocessor'] = dict(end_bias=float('nan'))", 'nan'),
    _case('NaN learning rate', "optim_wrapper['optimizer']['lr'] = float('nan')", 'nan'),
    _case('infinite learning rate', "optim_wrapper['optimizer']['lr'] = float('inf')", 'inf'),
    _case('negative learning rate', "optim_wrapper['optimizer']['lr'] = -0.1", '-0.1'),
    _case('learning rate as text', "optim_wrapper['optimizer']['lr'] = '0.1'", '0.1'),
    _case('an optimizer that does not exist', "optim_wrapper['optimizer']['type'] = 'Sgd'", 'Sgd'),
    _case('no optimizer', 'optim_wrapper = None', 'optim_wrapper'),
    _case('max_epochs as text', "train_cfg['max_epochs'] = 'two'", 'two'),
    _case('max_epochs = 0', "train_cfg['max_epochs'] = 0", '0'),
    _case('batch_size = 0', "train_dataloader['batch_size'] = 0", '0'),
    _case('num_workers = -1', "train_dataloader['num_workers'] = -1", '-1'),
    _case('no PackInputs', "train_dataloader['dataset']['pipeline'] = train_pipeline[:2]", 'Pack'),
    _case('no OrderLabels', "train_dataloader['dataset']['pipeline'] = test_pipeline", 'OrderLab'),
    _case('no loading transform', "train_dataloader['dataset']['pipeline'] = train_pipeline[1:]",
          'loads the image'),
    _case('max_pixels = 0', f"{LOAD}['max_pixels'] = 0", 'max_pixels=0'),
    _case('max_skipped = 0', SKIPPING.format(', max_skipped=0'), 'max_skipped=0'),
    _case('photos to be skipped that another transform loads',
          f"{LOAD}['type'] = 'LoadImageFromFile'\n{SKIPPING.format('')}", 'found no LoadImage'),
    _case('an unknown label order', f"{ORDER}['order'] = 'frequent'", 'frequent'),
    _case('a label order with a repeat', f"{ORDER}.update(order='given', given=[0, 1, 1, 3])",
          'missing ids: [2]'),
    _case('a label order with an unknown class',
          f"{ORDER}.update(order='given', given=['bus', 'cat', 'dgo', 'person'])", 'dgo'),
    _case('a class list with a repeat',
          "train_dataloader['dataset']['metainfo'] = dict(classes=['cat', 'cat', 'dog', 'bus'])",
          'cat'),
    _case('a class list that lacks a class',
          "train_dataloader['dataset']['metainfo'] = dict(classes=['bus', 'cat', 'dog'])",
          '3 classes'),
    _case('data_root does not exist', "train_dataloader['dataset']['data_root'] = 'none'", 'none'),
    _case('a metric that does not exist', "val_evaluator = [dict(type='MeanAP')]", 'MeanAP'),
    _case('a hook that does not exist', "custom_hooks = [dict(type='NoHook')]", 'NoHook'),
    _case('load_from does not exist', "load_from = 'none.pth'", 'none.pth'),
)  # fmt: skip
