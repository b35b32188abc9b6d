# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Kills while saving and validating, by the tool that runs twenty; ``test_resume`` has training."""

import itertools
import re
import shutil
import sys

import pytest
import torch
from forked_tool import run_forked
from mmengine.runner import Runner
from tiny_run import ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.engine.hooks import AtomicCheckpointHook

FOLDER = ROOT / 'tools' / 'benchmarks'
EXTRA = """
train_cfg = dict(by_epoch=True, max_epochs={epochs}, val_interval={interval})
param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='label-set/set-size', patience=0)]
default_hooks['checkpoint'].update({checkpoint!r})
"""


@pytest.mark.slow
def test_killed_while_saving_and_validating(tmp_path):
    arguments = ('--kills', 2, '--phases', 'saving', 'validation', '--workers', 0)
    run = run_forked(FOLDER / 'faults.py', *arguments, '--folder', tmp_path / 'runs')
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert re.search(r'^ 1 saving .* equal ', run.stdout, re.MULTILINE), run.stdout
    assert re.search(r'^ 2 validation .* equal ', run.stdout, re.MULTILINE), run.stdout
    assert '2 of 2 resumed runs equal the uninterrupted one' in run.stdout
    # Killed indeed: two starts each, the second of which has resumed or begun anew.
    for killed in (tmp_path / 'runs').glob('kill_*_*.txt'):
        assert killed.read_text().count('Config:') >= 2


@pytest.fixture(scope='module')
def photos(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('kills') / 'voc', {'train': TRAIN[:4], 'val': VAL})


@pytest.fixture
def make_runner(photos, tmp_path):
    count = itertools.count()

    def make(epochs=3, interval=1, resume=False, **checkpoint):
        extra = EXTRA.format(epochs=epochs, interval=interval, checkpoint=checkpoint)
        cfg = load_config(photos, tmp_path, extra)
        cfg.experiment_name = f'{tmp_path.name}-{next(count)}'
        cfg.resume = resume
        return Runner.from_cfg(cfg)

    return make


def count_validations(monkeypatch):
    """A list that grows by the runner's epoch at each validation."""
    begun, run = [], Runner.val_loop.fget

    def val_loop(self):
        loop = run(self)
        if loop is not None and not hasattr(loop, 'counted'):
            loop.counted, inner = True, loop.run
            loop.run = lambda: (begun.append(self.epoch), inner())[1]
        return loop

    monkeypatch.setattr(Runner, 'val_loop', property(val_loop))
    return begun


def test_a_missed_validation_is_run_on_resume(make_runner, tmp_path, monkeypatch):
    """From the checkpoint of epoch 2, as if the run had been killed in its validation.

    The scheduler follows a metric, so that the learning rate tells whether a validation is missed.
    """
    make_runner().train()
    work = tmp_path / 'work'
    whole = torch.load(work / 'epoch_3.pth', weights_only=True)
    (work / 'last_checkpoint').write_text(str(work / 'epoch_2.pth'))
    begun = count_validations(monkeypatch)
    make_runner(resume=True).train()
    assert begun == [2, 3]
    again = torch.load(work / 'epoch_3.pth', weights_only=True)
    assert whole['param_schedulers'] == again['param_schedulers']
    for name, value in whole['state_dict'].items():
        assert torch.equal(value, again['state_dict'][name]), name


def test_a_missed_last_validation_is_run_and_saves_the_best(make_runner, tmp_path, monkeypatch):
    best = dict(save_best='label-set/set-size', rule='greater')
    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointHook, '_save_best_checkpoint', lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_runner(epochs=1, **best).train()
    begun = count_validations(monkeypatch)
    make_runner(epochs=1, resume=True, **best).train()
    assert begun == [1]
    assert (tmp_path / 'work' / 'best_label-set_set-size_epoch_1.pth').is_file()
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)
    assert saved['message_hub']['runtime_info']['last_validated'] == 1
    assert len(saved['random_state']['ranks']) == 1
    # That checkpoint was saved after its validation, which is not run a second time.
    make_runner(epochs=1, resume=True, **best).train()
    assert begun == [1]


def test_no_validation_is_made_up(make_runner, monkeypatch):
    """Every second epoch validates; epoch 1 was no such epoch."""
    make_runner(epochs=1, interval=2)  # the folder
    runner = make_runner(epochs=3, interval=2)
    monkeypatch.setattr(type(runner), 'val_loop', property(lambda self: None))
    runner.train()
    monkeypatch.undo()
    work = runner.work_dir
    begun = count_validations(monkeypatch)
    with open(f'{work}/last_checkpoint', 'w') as file:
        file.write(f'{work}/epoch_1.pth')
    make_runner(epochs=3, interval=2, resume=True).train()
    assert begun == [2, 3]


@pytest.mark.parametrize('spoilt', ['state_dict', 'label order', 'files', 'validation'])
def test_the_comparison_sees_a_difference(make_runner, tmp_path, monkeypatch, spoilt):
    monkeypatch.syspath_prepend(str(FOLDER))
    from fault_runs.comparison import differences

    trained = tmp_path / 'work'
    make_runner(epochs=1).train()
    other = shutil.copytree(trained, tmp_path / 'other')
    (other / 'last_checkpoint').write_text(str(other / 'epoch_1.pth'))
    assert differences(trained, other) == []
    saved = torch.load(other / 'epoch_1.pth', weights_only=True)
    if spoilt == 'state_dict':
        next(iter(saved['state_dict'].values())).view(-1)[0] += 1e-6
    elif spoilt == 'label order':
        saved['meta']['label_order']['']['sequence'].reverse()
    elif spoilt == 'files':
        (other / '.epoch_2.pth.saving').touch()
    else:
        (log,) = other.glob('*/vis_data/scalars.json')
        log.write_text(log.read_text().replace('"label-set/O-F1": ', '"label-set/O-F1": 1'))
    torch.save(saved, other / 'epoch_1.pth')
    found = differences(trained, other)
    assert found
    assert all(one.startswith(spoilt) for one in found), found
    sys.modules.pop('fault_runs.comparison')
