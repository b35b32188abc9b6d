# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Each of the host's engines takes the steps that one process takes."""

import inspect
import re
from datetime import timedelta

import pytest
import torch
from forked_tool import run_forked
from mmengine.config import Config
from mmengine.registry import STRATEGIES
from mmengine.utils import get_object_from_string
from process_pair import run_processes
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis import distributed, load_trained_model
from cnnrnn_mm.apis.distributed import join_processes
from cnnrnn_mm.engine.strategies import PlainFSDPStrategy
from cnnrnn_mm.errors import UsageError

#: No dropout, the same 6 images a step, momentum for a state to resume, and gradients that are
#: clipped at every step: their norm is above 1.
STEPS = """
model.update(head=dict(model['head'], dropout=0.0, marginal=dict(loss_weight=1.0)))
train_dataloader.update(batch_size={batch})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), clip_grad=dict(max_norm=0.5))
param_scheduler = [dict(type='ExponentialLR', gamma=0.5, end=9)]
train_cfg = dict(by_epoch=True, max_epochs={epochs}, val_interval=10)
"""
FLEXIBLE = "runner_type = 'FlexibleRunner'\n"
LINES = {
    'ddp': "strategy = dict(type='DDPStrategy')\n",
    'fsdp': "strategy = dict(type='cnnrnn_mm.engine.strategies.PlainFSDPStrategy')\n",
}
#: tools/train.py several times in the same process.
SCRIPT = """
import os, runpy, sys
root, *runs = sys.argv[1:]
port = int(os.environ['MASTER_PORT'])
for number, words in enumerate(runs):
    os.environ['MASTER_PORT'] = str(port + number)
    sys.argv = [root + '/tools/train.py', *words.split('|'), '--launcher', 'pytorch']
    runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope='module')
def folder(voc_folder, tmp_path_factory):
    """Work folders: ``one`` of one process, ``ddp`` and ``fsdp`` of two."""
    folder = tmp_path_factory.mktemp('strategies')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    one = write_config(root, folder / 'one.py', STEPS.format(batch=6, epochs=2))
    runs = []
    for name, epochs in (('ddp', 2), ('fsdp', 1), ('fsdp', 2)):
        extra = STEPS.format(batch=3, epochs=epochs) + FLEXIBLE + LINES[name]
        config = write_config(root, folder / f'{name}_{epochs}.py', extra)
        runs.append(f'{config}|--work-dir|{folder / name}' + '|--resume' * (len(runs) == 2))
    (folder / 'script.py').write_text(SCRIPT)
    run = run_forked(ROOT / 'tools' / 'train.py', one, '--work-dir', folder / 'one')
    assert run.returncode == 0, run.stderr[-2000:]
    said = run_processes(folder / 'script.py', ROOT, *runs)
    assert 'resumed epoch: 1' in said[0].stdout + said[0].stderr
    return folder


def checkpoint(folder, name, epoch=2):
    """A checkpoint, read as plain types, and its weights without the prefix of DDPStrategy."""
    read = torch.load(folder / name / f'epoch_{epoch}.pth', weights_only=True)
    prefix = 'module.' if name == 'ddp' else ''
    assert all(key.startswith(prefix) for key in read['state_dict'])
    return read, {key.removeprefix(prefix): one for key, one in read['state_dict'].items()}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ddp', 'fsdp'])
def test_two_processes_take_the_steps_of_one(folder, name):
    """Weights and the optimiser's state after four clipped steps; with FSDP resumed half-way."""
    (alone, expected), (joined, found) = checkpoint(folder, 'one'), checkpoint(folder, name)
    _, half = checkpoint(folder, 'fsdp', 1)
    assert found.keys() == expected.keys()
    moved = 0.0
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-5, rtol=1e-4, msg=key)
        moved += float((value - half[key]).abs().float().sum())
    assert moved > 1.0
    theirs = [one['momentum_buffer'] for one in alone['optimizer']['state'].values()]
    state = joined['optimizer']['state']
    ours = [state[key] for key in (expected if name == 'fsdp' else state) if key in state]
    assert len(ours) == len(theirs) > 50
    for one, buffer in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one['momentum_buffer'], buffer, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ddp', 'fsdp'])
def test_what_hooks_store_is_there(folder, name):
    alone, joined = (checkpoint(folder, run)[0] for run in ('one', name))
    assert joined['meta']['label_order'] == alone['meta']['label_order']
    assert joined['meta']['label_order']['']['sequence'] == [3, 1, 2, 0]
    assert joined['meta']['dataset_meta'] == alone['meta']['dataset_meta']
    assert len(joined['random_state']['ranks']) == 2
    assert joined['message_hub']['log_scalars'].keys() >= {'train/loss', 'train/grad_norm'}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ddp', 'fsdp'])
def test_one_process_loads_what_two_have_written(folder, name):
    _, weights = checkpoint(folder, name)
    trained = load_trained_model(folder / name / 'epoch_2.pth', folder / 'one.py')
    assert tuple(trained.classes) == CLASSES
    for key, value in trained.model.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        ("strategy = dict(type='DDPStrategy')", "add runner_type = 'FlexibleRunner'"),
        (FLEXIBLE + "strategy = dict(type='DeepSpeedStrategy')", 'needs the package deepspeed'),
        (FLEXIBLE + LINES['fsdp'], 'start with bash tools/dist_train.sh CONFIG GPUS'),
    ],
    ids=['other runner', 'no deepspeed', 'one process'],
)
def test_a_strategy_that_can_not_run_is_one_line(monkeypatch, extra, message):
    monkeypatch.setattr(distributed, 'find_spec', lambda name: None)
    cfg = Config.fromstring(extra + "\nlauncher = 'none'", '.py')
    with pytest.raises(UsageError, match='^[^\n]*' + message.replace('(', r'\(')) as caught:
        join_processes(cfg)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_that_did_not_start_the_process_is_one_line(monkeypatch, launcher):
    for name in distributed.LAUNCHER_VARIABLES[launcher]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=f'--launcher {launcher}, but the environment has no'):
        join_processes(Config(dict(launcher=launcher)))


@pytest.fixture
def joined(monkeypatch):
    """``joined(cfg)``: what a config becomes in a process of torchrun without a GPU."""

    def join(limit=None, **cfg):
        started, dist = [], {} if limit is None else dict(dist_cfg=dict(timeout=limit))
        for name in distributed.LAUNCHER_VARIABLES['pytorch']:
            monkeypatch.setenv(name, '0')
        for name in ('MASTER_ADDR', 'MASTER_PORT'):  # set in the process itself
            monkeypatch.setenv(name, '0')
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        monkeypatch.setattr(
            torch.distributed,
            'init_process_group',
            lambda *given, timeout: started.append((*given, timeout)),
        )
        env_cfg = dict(cudnn_benchmark=False, **dist)
        cfg = Config(dict(launcher='pytorch', env_cfg=env_cfg, **cfg))
        join_processes(cfg)
        assert started == [('gloo', None if limit is None else timedelta(seconds=limit))]
        assert cfg.env_cfg == dict(cudnn_benchmark=False, dist_cfg=dict(backend='gloo'))
        return cfg

    return join


def test_the_time_out_of_the_config_is_that_of_the_group(joined):
    joined(limit=7)
    joined()


def test_options_of_the_wrapper_are_kept_without_a_gpu(joined):
    cfg = joined(find_unused_parameters=True)
    assert cfg.model_wrapper_cfg.find_unused_parameters is True
    assert cfg.model_wrapper_cfg.device_ids is None
    cfg = joined(model_wrapper_cfg=dict(static_graph=True))
    assert cfg.model_wrapper_cfg.static_graph and cfg.model_wrapper_cfg.device_ids is None
    cfg = joined(model_wrapper_cfg=dict(type='MyWrapper'))
    assert cfg.model_wrapper_cfg == dict(type='MyWrapper')
    wrapper = dict(find_unused_parameters=True)
    cfg = joined(
        runner_type='FlexibleRunner', strategy=dict(model_wrapper=wrapper, sync_bn='torch')
    )
    assert cfg.strategy.type == 'DDPStrategy' and cfg.strategy.sync_bn == 'torch'
    assert cfg.strategy.model_wrapper.find_unused_parameters is True
    assert cfg.strategy.model_wrapper.device_ids is None


def test_whole_checkpoints_are_no_choice():
    with pytest.raises(UsageError, match='leave out state_dict_cfg'):
        PlainFSDPStrategy(state_dict_cfg='local')


@pytest.mark.parametrize('name', ['ddp', 'fsdp', 'deepspeed'])
def test_fragments_go_with_the_other_bases(tmp_path, name):
    """Also as their comments say."""
    fragment = ROOT / 'configs' / '_base_' / 'strategies' / f'{name}.py'
    comment = re.search(r'^#   (optim_wrapper = .*?^#   \))$', fragment.read_text(), re.M | re.S)
    said = '' if comment is None else comment[1].replace('\n#   ', '\n')
    assert bool(said) == (name == 'deepspeed')
    bases = [str(ROOT / 'configs' / 'cnnrnn_demo.py'), str(fragment)]
    (tmp_path / 'a.py').write_text(f'_base_ = {bases!r}\n{said}\n')
    cfg = Config.fromfile(tmp_path / 'a.py')
    assert cfg.runner_type == 'FlexibleRunner' and cfg.model.type == 'ImageClassifier'
    assert inspect.isclass(
        get_object_from_string(cfg.strategy.type) or STRATEGIES.get(cfg.strategy.type)
    )
    assert ('clip_grad' in cfg.optim_wrapper) == (name != 'deepspeed')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
