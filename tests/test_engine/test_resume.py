# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A run that is killed and resumed ends where an uninterrupted one ends."""

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
    [(0, '', run_tool), (1, '', run_forked), (0, FLIPS, run_forked)],
    ids=['main', 'worker', 'flips'],
)
def test_killed_run_resumes_to_the_same_weights(
    voc_folder, tmp_path, workers, augmentation, resume
):
    """Dropout is on, validation runs in between, and SIGKILL hits inside the third epoch.

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
