# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A folder of checkpoints at every moment of a save, and when a save fails."""

import errno
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner, find_latest_checkpoint
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.engine.hooks import AtomicCheckpointHook, atomic_saves
from cnnrnn_mm.errors import UsageError

EPOCHS = '\ntrain_cfg = dict(by_epoch=True, max_epochs={epochs})\n'
NEVER = 'val_cfg = val_dataloader = val_evaluator = None\n'


def options(**given):
    return f'default_hooks["checkpoint"].update({given!r})\n'


@pytest.fixture(scope='session')
def photos(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('photos') / 'voc', {'train': TRAIN[:4], 'val': VAL})


@pytest.fixture
def make_runner(photos, tmp_path):
    """``make_runner(epochs, extra)``: a run of one step an epoch in ``tmp_path / 'work'``."""
    count = itertools.count()

    def make(epochs, extra='', **settings):
        cfg = load_config(photos, tmp_path, EPOCHS.format(epochs=epochs) + extra)
        cfg.experiment_name = f'{tmp_path.name}-{next(count)}'
        cfg.update(settings)
        return Runner.from_cfg(cfg)

    return make


@pytest.fixture
def work(tmp_path):
    return tmp_path / 'work'


def names(folder):
    """Files of the folder that have to do with checkpoints, temporary ones included."""
    return sorted(path.name for path in folder.iterdir() if path.suffix in ('.pth', '.saving'))


def last_epoch(folder):
    """The epoch from which a resumed run would go on; the file must load."""
    path = find_latest_checkpoint(str(folder))
    return torch.load(path, weights_only=True)['meta']['epoch']


class Killed(BaseException):
    """In place of a signal, so that the test goes on."""


@pytest.mark.parametrize(('kept', 'expected'), [(2, [2, 3]), (1, [3]), (-1, [1, 2, 3])])
def test_the_newest_are_kept(make_runner, work, kept, expected):
    make_runner(3, NEVER + options(max_keep_ckpts=kept)).train()
    assert names(work) == [f'epoch_{epoch}.pth' for epoch in expected]
    assert (work / 'last_checkpoint').read_text() == str(work / 'epoch_3.pth')
    assert last_epoch(work) == 3


def test_out_dir_and_iterations(make_runner, work, tmp_path):
    """``last_checkpoint`` is in the work dir and names the file elsewhere."""
    extra = options(by_epoch=False, interval=2, max_keep_ckpts=1, out_dir=str(tmp_path / 'out'))
    make_runner(5, NEVER + extra).train()
    assert names(tmp_path / 'out' / 'work') == ['iter_5.pth']
    assert names(work) == []
    assert (work / 'last_checkpoint').read_text() == str(tmp_path / 'out' / 'work' / 'iter_5.pth')


def test_every_moment_of_a_save_leaves_a_whole_checkpoint(make_runner, work, tmp_path, monkeypatch):
    """The run ends at each call that changes the folder, and is resumed from what is there.

    A better checkpoint comes each epoch and one is kept, so that all kinds of removals occur.
    """
    best = options(max_keep_ckpts=1, save_best='label-set/set-size', rule='greater')
    made = {}

    def end_at(moment):
        counter = itertools.count()

        def guard(function):
            def call(*args, **kwargs):
                if next(counter) == moment:
                    raise Killed
                return function(*args, **kwargs)

            return call

        for module, name in ((atomic_saves.os, 'replace'), (atomic_saves.os, 'fsync')):
            monkeypatch.setattr(module, name, guard(made.setdefault(name, getattr(module, name))))
        put = made.setdefault('put', LocalBackend.put)
        monkeypatch.setattr(LocalBackend, 'put', guard(put))
        remove = made.setdefault('remove', atomic_saves.remove)
        monkeypatch.setattr(atomic_saves, 'remove', guard(remove))

    scores = itertools.count(1.0)
    monkeypatch.setattr(
        'cnnrnn_mm.evaluation.LabelSetMetric.compute_metrics',
        lambda self, results: {'set-size': next(scores)},
    )
    end_at(-1)
    make_runner(1, best).train()
    shutil.copytree(work, tmp_path / 'first')
    ended = []
    for moment in range(1, 40, 6):
        shutil.rmtree(work)
        shutil.copytree(tmp_path / 'first', work)
        scores = itertools.count(2.0)
        runner = make_runner(2, best, resume=True)
        end_at(moment)
        try:
            runner.train()
        except Killed:
            ended.append(moment)
        end_at(-1)
        assert last_epoch(work) in (1, 2), moment
        for name in names(work):
            if name.endswith('.pth'):
                torch.load(work / name, weights_only=True)
        assert any(name.startswith('best') for name in names(work)), moment
        if moment not in ended:
            break
    assert len(ended) >= 3


def test_what_a_killed_save_left_is_removed(make_runner, work):
    make_runner(1, NEVER).train()
    (work / '.epoch_2.pth.saving').write_bytes(b'half')
    (work / '.last_checkpoint.saving').mkdir()
    (work / 'epoch_9.pth').write_bytes(b'of the user')
    runner = make_runner(1, NEVER, resume=True)
    runner.train()
    assert names(work) == ['epoch_1.pth', 'epoch_9.pth']


def test_a_removal_that_was_cut_off_is_made_up_for(make_runner, work, monkeypatch):
    extra = NEVER + options(max_keep_ckpts=1)
    make_runner(1, extra).train()
    with monkeypatch.context() as patch:
        patch.setattr(atomic_saves.LateRemovals, 'carry_out', lambda self, written: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_runner(2, extra, resume=True).train()
    assert names(work) == ['epoch_1.pth', 'epoch_2.pth']
    make_runner(2, extra, resume=True).train()
    assert names(work) == ['epoch_2.pth']


def fill(monkeypatch, from_call):
    """The disk is full in the middle of the write number ``from_call`` (from 0)."""
    counter, write = itertools.count(), LocalBackend.put

    def put(self, content, path):
        if next(counter) != from_call:
            return write(self, content, path)
        Path(path).write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LocalBackend, 'put', put)


def test_a_full_disk_ends_the_run_with_one_line(make_runner, work, monkeypatch):
    fill(monkeypatch, 1)
    with pytest.raises(UsageError) as error:
        make_runner(3, NEVER + options(max_keep_ckpts=1)).train()
    line = str(error.value)
    assert 'No space left on device' in line
    assert f'{work / "epoch_1.pth"} is whole' in line
    assert '--resume' in line
    assert '\n' not in line
    assert names(work) == ['epoch_1.pth']
    assert last_epoch(work) == 1


def test_a_full_disk_may_be_passed_over(make_runner, work, monkeypatch):
    """The state is as if epoch 2 had not been saved; epoch 1 goes when epoch 3 is there."""
    fill(monkeypatch, 1)
    make_runner(3, NEVER + options(max_keep_ckpts=1, save_error='warn')).train()
    assert names(work) == ['epoch_3.pth']
    hub = torch.load(work / 'epoch_3.pth', weights_only=True)['message_hub']['runtime_info']
    assert hub['keep_ckpt_ids'] == [3]
    assert hub['outdated_ckpts'] == ['epoch_1.pth']


def test_a_disk_that_is_full_when_the_best_is_saved(make_runner, work, monkeypatch):
    """The second write of the first epoch is the best's."""
    fill(monkeypatch, 1)
    best = options(save_best='label-set/set-size', rule='greater')
    with pytest.raises(UsageError, match='No space left'):
        make_runner(1, best).train()
    assert names(work) == ['epoch_1.pth']


def test_a_real_disk_that_fills(make_runner, tmp_path):
    """A file system in memory with room for two checkpoints, not three."""
    work = tmp_path / 'work'
    work.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=2400k', 'tmpfs', str(work)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip('mounting a file system is not permitted here')
    try:
        with pytest.raises(UsageError, match='No space left on device'):
            make_runner(9, NEVER + options(max_keep_ckpts=-1)).train()
        saved = [name for name in names(work) if name.endswith('.pth')]
        assert names(work) == saved != []
        assert last_epoch(work) == len(saved)
    finally:
        subprocess.run(['umount', '--lazy', str(work)], check=True)  # the log is open


def test_an_unknown_policy_is_refused():
    with pytest.raises(UsageError, match="save_error is 'ignore': set it to 'stop' or 'warn'"):
        AtomicCheckpointHook(save_error='ignore')
