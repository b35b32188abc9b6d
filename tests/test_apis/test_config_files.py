# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What is right passes; what is wrong is in tests/bad_inputs."""

import argparse

import pytest
from mmengine.config import Config
from tiny_run import ROOT

from cnnrnn_mm.apis.config_errors import explain_config_error
from cnnrnn_mm.apis.config_files import ConfigOptions, read_config
from cnnrnn_mm.apis.config_numbers import check_numbers
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import MODELS


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return lambda *words: parser.parse_args(['--cfg-options', *words]).cfg_options


def test_options_are_those_of_mmengine(parse):
    given = parse('a.b=3', 'c=[1,(2,x)]', 'd=1,2', 'e="a=b"', 'f=None', 'g=')
    assert given == {'a.b': 3, 'c': [1, (2, 'x')], 'd': [1, 2], 'e': 'a=b', 'f': None, 'g': ''}


@pytest.mark.parametrize('word', ['a', '=3', ' =3', 'a=(1,[2)'])
def test_wrong_options_are_named(parse, word):
    with pytest.raises(argparse.ArgumentError) as caught:
        parse('b=1', word)
    assert word in str(caught.value)


def test_options_may_add_entries_of_a_name_of_their_own(tmp_path):
    (tmp_path / 'a.py').write_text(
        'model = dict(head=dict(num_classes=3))\nlist_ = [1, dict(b=2)]\n'
    )
    options = {'seed': 3, 'model.head.num_classes': 4, 'list_.1.b': 5, 'custom_hooks': []}
    cfg = read_config(tmp_path / 'a.py', options)
    assert (cfg.seed, cfg.model.head.num_classes, cfg.list_[1].b) == (3, 4, 5)
    with pytest.raises(UsageError, match="has no 'modell': did you mean 'model'"):
        read_config(tmp_path / 'a.py', {'modell.head.num_classes': 4})


def test_the_line_of_a_mistake(tmp_path):
    (tmp_path / 'a.py').write_text('a = 1\nb = 2\nc = a.x\n')
    with pytest.raises(UsageError, match=r'a\.py, line 3 can not be used \(AttributeError: '):
        read_config(tmp_path / 'a.py')


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda one: one.stem)
def test_numbers_of_all_our_configs_pass(path):
    check_numbers(Config.fromfile(path))


@pytest.mark.parametrize(
    ('entry', 'value', 'wrong'),
    [
        ('train_cfg', dict(max_epochs=1), False),
        ('train_cfg', dict(max_epochs=1.0), False),
        ('train_cfg', dict(max_epochs=1.5), True),
        ('train_cfg', dict(max_epochs=True), True),
        ('train_cfg', dict(max_epochs=float('inf')), True),
        ('train_cfg', dict(max_epochs=float('nan')), True),
        ('val_dataloader', dict(num_workers=float('inf')), True),
        ('train_cfg', dict(by_epoch=False, max_iters=0), True),
        ('optim_wrapper', dict(optimizer=dict(lr=0)), False),
        ('optim_wrapper', dict(optimizer=dict(lr=1, betas=(0.9, float('nan')))), True),
        ('optim_wrapper', dict(clip_grad=dict(max_norm=float('inf'))), True),
        ('train_dataloader', None, False),
        ('val_dataloader', dict(num_workers=0, batch_size=1), False),
        ('default_hooks', dict(ema=float('inf')), False),
    ],
)
def test_numbers(entry, value, wrong):
    cfg = Config({entry: value})
    if wrong:
        with pytest.raises(UsageError, match=f'{entry}\\.'):
            check_numbers(cfg)
    else:
        check_numbers(cfg)


def caught_from(action):
    try:
        action()
    except Exception as error:  # noqa: BLE001 - any kind is explained
        return error
    raise AssertionError('nothing was raised')


def test_only_what_a_config_caused_is_explained(default_scope):
    default_scope('mmpretrain')
    assert explain_config_error(caught_from(lambda: 1 / 0)) is None
    head = dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=4)
    model = MODELS.build(head)
    assert explain_config_error(caught_from(lambda: model.forward(3))) is None
    error = caught_from(lambda: MODELS.build(dict(head, hidden_dims='x')))
    line = explain_config_error(error)
    assert "hidden_dims='x'" in line and '\n' not in line
    line = explain_config_error(caught_from(lambda: MODELS.build(dict(head, **{'a' * 999: 1}))))
    assert len(line) < 600
