# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Processes that die and photos that rot while a run is under way: one line, no hang, resumable."""

import re
import signal
import time

import pytest
import torch
from forked_tool import ForkedTool, run_forked
from process_pair import free_port
from tiny_run import ROOT, TRAIN, VAL, write_config

TOOL = ROOT / 'tools' / 'train.py'
IMPORT = """
train_cfg = dict(by_epoch=True, max_epochs=3)
custom_imports = dict(imports=['killing_hook', 'rotting_hook'], allow_failed_imports=False)
"""
WORKERS = 'train_dataloader.update(num_workers=2, persistent_workers=False)\n'
#: Seconds in which the others have to end when one process has died: by far less than the half hour
#: that torch waits for a silent one, and enough for a machine that is busy with other things.
BOUND = 300


@pytest.fixture(scope='module')
def photos(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('faults') / 'voc', {'train': TRAIN[:8], 'val': VAL})


def hook(kind='KillingHook', **options):
    return f"custom_hooks = [dict({options!r}, type='cnnrnn_mm.{kind}')]\n"


def error_lines(run):
    return [line for line in run.stderr.splitlines() if line.startswith('error: ')]


def test_a_worker_that_dies_ends_the_run_with_one_line(photos, tmp_path):
    extra = IMPORT + WORKERS + hook(epoch=1, batch=0, worker=True)
    config = write_config(photos, tmp_path / 'tiny.py', extra)
    run = run_forked(TOOL, config, '--work-dir', tmp_path / 'work')
    assert run.returncode == 2
    (line,) = error_lines(run)
    assert re.match(r'error: data-loading worker \(pid \d+(, SIGKILL)?\) has died', line)
    assert f'--resume (from {tmp_path / "work" / "epoch_1.pth"})' in line

    left_alone = write_config(photos, tmp_path / 'alone.py', IMPORT + WORKERS)
    run = run_forked(TOOL, left_alone, '--work-dir', tmp_path / 'work', '--resume')
    assert run.returncode == 0, run.stderr[-2000:]
    assert 'resumed epoch: 1' in run.stdout + run.stderr


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_with_a_line(photos, tmp_path):
    """Two processes; the second is killed inside the second epoch.

    Without torchrun, which would end the first one, too, and on a busy machine before its line.
    """
    config = write_config(photos, tmp_path / 'two.py', IMPORT + hook(epoch=1, batch=0, rank=1))
    port, work = free_port(), tmp_path / 'work'
    words = (TOOL, config, '--work-dir', work, '--launcher', 'pytorch')
    shared = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    runs = [ForkedTool(*words, RANK=one, LOCAL_RANK=one, **shared) for one in '01']
    killed = runs[1].finish()
    died = time.monotonic()
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    run = runs[0].finish()
    assert time.monotonic() - died < BOUND
    assert run.returncode == 2
    (line,) = error_lines(run)
    assert line.startswith('error: process 0 of 2: another process of this run has ended')
    assert f'--resume (from {work / "epoch_1.pth"})' in line
    assert torch.load(work / 'epoch_1.pth', weights_only=True)['meta']['epoch'] == 1


@pytest.mark.parametrize(('gone', 'why'), [(False, 'truncated'), (True, 'No such file')])
def test_a_photo_that_rots_ends_the_run_with_its_name(voc_folder, tmp_path, gone, why):
    """It was whole in the first epoch; put back, the run goes on from there."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN[:8], 'val': VAL})
    photo = root / 'JPEGImages' / 'train_0003.jpg'
    content = photo.read_bytes()
    extra = IMPORT + hook('RottingHook', path=str(photo), gone=gone)
    config = write_config(root, tmp_path / 'tiny.py', extra)
    run = run_forked(TOOL, config, '--work-dir', tmp_path / 'work')
    assert run.returncode == 2
    (line,) = error_lines(run)
    assert f'cannot read image {photo} (' in line
    assert why in line
    assert 'cnnrnn_mm.ReadableImages' in line

    photo.write_bytes(content)
    whole = write_config(root, tmp_path / 'whole.py', IMPORT)
    for config, folder in ((whole, 'whole'), (whole, 'work')):
        run = run_forked(TOOL, config, '--work-dir', tmp_path / folder, '--resume')
        assert run.returncode == 0, run.stderr[-2000:]
    ends = [
        torch.load(tmp_path / folder / 'epoch_3.pth', weights_only=True)['state_dict']
        for folder in ('whole', 'work')
    ]
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
