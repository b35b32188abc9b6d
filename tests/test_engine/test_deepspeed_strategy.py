# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""DeepSpeed takes the steps that one process takes, and stores what hooks store."""

import importlib.util

import pytest
import torch
from forked_tool import run_forked
from process_pair import run_processes
from tiny_run import ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.engine.strategies import PlainDeepSpeedStrategy, plain_deepspeed_strategy
from cnnrnn_mm.errors import UsageError

HERE = importlib.util.find_spec('deepspeed') is not None
#: As in ``test_strategies.py``; ZeRO knows Adam, and takes SGD only when told so.
STEPS = """
model.update(head=dict(model['head'], dropout=0.0, marginal=dict(loss_weight=1.0)))
train_dataloader.update(batch_size={batch})
param_scheduler = [dict(type='ExponentialLR', gamma=0.5, end=9)]
train_cfg = dict(by_epoch=True, max_epochs={epochs}, val_interval=10)
"""
ALONE = 'optim_wrapper.update(clip_grad=dict(max_norm=0.5))\n'
ZERO = """
runner_type = 'FlexibleRunner'
strategy = dict(
    type='cnnrnn_mm.engine.strategies.PlainDeepSpeedStrategy', zero_optimization=dict(stage=1),
    gradient_clipping=0.5, config=dict(zero_allow_untested_optimizer=True),
)
optim_wrapper.update(type='DeepSpeedOptimWrapper')
"""
SCRIPT = """
import os, runpy, sys
os.environ['DS_ACCELERATOR'] = 'cpu'
root, *words = sys.argv[1:]
import deepspeed
# else DeepSpeed compiles an operation for minutes, which only makes it faster
deepspeed.ops.__compatible_ops__['deepspeed_shm_comm'] = False
sys.argv = [root + '/tools/train.py', *words, '--launcher', 'pytorch']
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason='needs deepspeed: docs/scale.md')
def test_two_processes_take_the_steps_of_one(voc_folder, tmp_path):
    """Four clipped steps, resumed half-way; label order, random states and momenta are there."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    one = write_config(root, tmp_path / 'one.py', STEPS.format(batch=6, epochs=2) + ALONE)
    done = run_forked(ROOT / 'tools' / 'train.py', one, '--work-dir', tmp_path / 'one')
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / 'script.py').write_text(SCRIPT)
    for epochs, more in ((1, []), (2, ['--resume'])):
        extra = STEPS.format(batch=3, epochs=epochs) + ZERO
        config = write_config(root, tmp_path / f'zero_{epochs}.py', extra)
        words = (ROOT, config, '--work-dir', tmp_path / 'zero', *more)
        said = run_processes(tmp_path / 'script.py', *words)
    assert 'resumed epoch: 1' in said[0].stdout + said[0].stderr

    alone = torch.load(tmp_path / 'one' / 'epoch_2.pth', weights_only=True)
    states = 'mp_rank_00_model_states.pt'
    half, joined = (
        torch.load(tmp_path / 'zero' / f'epoch_{epoch}.pth' / states, weights_only=False)
        for epoch in (1, 2)
    )
    assert joined['module'].keys() == alone['state_dict'].keys()
    moved = 0.0
    for name, weight in alone['state_dict'].items():
        torch.testing.assert_close(joined['module'][name], weight, atol=1e-5, rtol=1e-4, msg=name)
        moved += float((weight - half['module'][name]).abs().float().sum())
    assert moved > 1.0
    assert joined['meta']['label_order'] == alone['meta']['label_order']
    assert len(joined['random_state']['ranks']) == 2


@pytest.mark.parametrize(
    ('missing', 'message'),
    [('deepspeed', 'needs the package deepspeed'), ('onebit', 'this release of deepspeed has no')],
)
def test_no_deepspeed_that_the_host_can_use_is_one_line(monkeypatch, missing, message):
    monkeypatch.setattr(
        plain_deepspeed_strategy, 'find_spec', lambda name: None if missing in name else name
    )
    with pytest.raises(UsageError, match=f'^[^\n]*{message}') as caught:
        PlainDeepSpeedStrategy()
    assert '\n' not in str(caught.value) and 'deepspeed<=0.19.6' in str(caught.value)
