# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections import OrderedDict
from enum import Enum

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.engine.hooks.plain_checkpoint_hook import to_plain


@pytest.fixture(scope='module')
def trained(voc_folder, tmp_path_factory):
    """The work dir of a run of two epochs, and its folder."""
    folder = tmp_path_factory.mktemp('plain')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    Runner.from_cfg(load_config(root, folder)).train()
    return folder


def test_checkpoint_loads_with_weights_only(trained):
    checkpoint = torch.load(trained / 'work' / 'epoch_2.pth', weights_only=True)
    assert checkpoint['meta']['epoch'] == 2
    assert len(checkpoint['message_hub']['log_scalars']['train/loss']['values']) == 6


def test_log_histories_come_back_on_resume(trained):
    """The resumed run goes on with the buffers of the first: 6 iterations and 3 more."""
    extra = '\ntrain_cfg = dict(by_epoch=True, max_epochs=3)\n'
    cfg = load_config(trained / 'voc', trained, extra)
    cfg.resume = True
    cfg.experiment_name = 'plain-resumed'
    runner = Runner.from_cfg(cfg)
    runner.train()
    history = runner.message_hub.get_scalar('train/loss')
    assert isinstance(history, HistoryBuffer)
    stored = torch.load(trained / 'work' / 'epoch_2.pth', weights_only=True)
    before = stored['message_hub']['log_scalars']['train/loss']['values']
    assert len(history.data[0]) == 9
    np.testing.assert_allclose(history.data[0][:6], before.numpy())


def test_to_plain_converts_what_it_can_and_names_what_it_cannot():
    class Colour(str, Enum):
        RED = 'red'

    dropped = []
    plain = to_plain(
        OrderedDict(
            a=np.float64(1.5),
            b=np.arange(3),
            c=(1, [np.int64(2)]),
            d={3, 4},
            e=Colour.RED,
            f=torch.nn.Parameter(torch.ones(2)),
            g=object(),
        ),
        'meta',
        dropped,
    )
    assert type(plain) is dict
    assert plain['a'] == 1.5 and type(plain['a']) is float
    assert plain['b'] == [0, 1, 2]
    assert plain['c'] == (1, [2]) and type(plain['c'][1][0]) is int
    assert sorted(plain['d']) == [3, 4]
    assert plain['e'] == 'red' and type(plain['e']) is str
    assert type(plain['f']) is torch.Tensor
    assert plain['g'] is None
    assert dropped == ['meta.g (object)']
