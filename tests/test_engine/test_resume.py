# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A run that is killed and resumed ends where an uninterrupted one ends, also with nothing left."""

import signal

import pytest
import torch
from forked_tool import run_forked
from tiny_run import ROOT, TRAIN, VAL, run_tool, write_config

TRAIN_TOOL = ROOT / 'tools' / 'train.py'
FOUR_EPOCHS = '\ntrain_cfg = dict(by_epoch=True, max_epochs=4)\n'
KILLED = FOUR_EPOCHS + (
    "custom_imports = dict(imports=['killing_hook'], allow_failed_imports=False)\n"
    "custom_hooks = [dict(type='cnnrnn_mm.KillingHook', epoch=2, batch=1)]\n"
)
FLIPS = (
    "\ntrain_dataloader['dataset'].update(pipeline=[*pipeline, dict(type='RandomFlip', prob=0.5), "
    "dict(type='cnnrnn_mm.OrderLabels'), dict(type='PackInputs')])\n"
)


def train(start, config, work_dir, *options):
    return start(TRAIN_TOOL, config, '--work-dir', work_dir, *options)


def weights(work_dir):
    return torch.load(work_dir / 'epoch_4.pth', weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('workers', 'augmentation', 'resume'),
    [(0, '', run_tool), (0, FLIPS, run_forked), (2, FLIPS, run_forked)],
    ids=['main', 'flips', 'workers'],
)
def test_killed_run_resumes_to_the_same_weights(
    voc_folder, tmp_path, workers, augmentation, resume
):
    """Dropout is on, validation runs in between, and SIGKILL hits inside the third epoch.

    The workers live on from epoch to epoch, and draw flips of which those of the first two epochs
    are lost to the resumed run.

    One of the resumed runs has another seed of ``hash`` than the run that was killed.
    """
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    loader = f'num_workers={workers}, persistent_workers={workers > 0}'
    extra = f'\ntrain_dataloader.update({loader})\n{augmentation}'
    whole = write_config(root, tmp_path / 'whole.py', FOUR_EPOCHS + extra)
    killed = write_config(root, tmp_path / 'killed.py', KILLED + extra)

    run = train(run_forked, whole, tmp_path / 'whole')
    assert run.returncode == 0, run.stderr[-2000:]
    run = train(run_forked, killed, tmp_path / 'killed')
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / 'killed' / 'epoch_3.pth').exists()
    run = train(resume, whole, tmp_path / 'killed', '--resume')
    assert run.returncode == 0, run.stderr[-2000:]
    assert 'resumed epoch: 2' in run.stdout + run.stderr

    expected, found = weights(tmp_path / 'whole'), weights(tmp_path / 'killed')
    assert expected['state_dict'].keys() == found['state_dict'].keys()
    for name, value in expected['state_dict'].items():
        assert torch.equal(value, found['state_dict'][name]), name
    for key, state in expected['optimizer']['state'].items():
        assert torch.equal(
            state['momentum_buffer'], found['optimizer']['state'][key]['momentum_buffer']
        )


@pytest.mark.slow
def test_nothing_to_resume_is_said_and_a_wrong_path_ends(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    config = write_config(root, tmp_path / 'a.py', FOUR_EPOCHS)
    work = tmp_path / 'work'
    run = train(run_forked, config, work, '--resume', tmp_path / 'none.pth')
    assert run.returncode == 2 and not work.exists()
    assert run.stderr.strip().splitlines()[-1] == (
        f'error: checkpoint {tmp_path / "none.pth"} does not exist: check the path'
    )

    run = train(run_forked, config, work, '--resume')
    assert run.returncode == 0, run.stderr[-2000:]
    (log,) = work.glob('*/*.log')
    line = f'WARNING - nothing to resume: {work} holds no checkpoint: this training starts at the'
    assert log.read_text().count(line) == 1 and line in run.stdout + run.stderr
    assert 'Auto resumed' not in log.read_text()
    run = train(run_forked, config, tmp_path / 'plain')
    expected, found = weights(tmp_path / 'plain'), weights(work)
    for name, value in expected['state_dict'].items():
        assert torch.equal(value, found['state_dict'][name]), name


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
def test_ctrl_c_is_one_line(voc_folder, tmp_path, workers):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    sent = KILLED.replace('batch=1', "batch=1, sent='SIGINT'")
    extra = f'{sent}train_dataloader.update(num_workers={workers})\n'
    config, work = write_config(root, tmp_path / 'a.py', extra), tmp_path / 'work'
    run = train(run_forked, config, work)
    assert run.returncode == 130
    said = f'interrupted: continue with --resume (from {work / "epoch_2.pth"})'
    assert run.stderr.strip().splitlines()[-1] == said
    assert 'Traceback' not in run.stderr and 'KeyboardInterrupt' not in run.stderr
