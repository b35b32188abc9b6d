# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two gloo processes do what one process does on the joined batch."""

import os
import subprocess

import pytest
import torch
from forked_tool import run_forked
from tiny_run import ROOT, TRAIN, VAL, environment, write_config

#: No dropout, and shares of equal size: 12 images, 3 in each of two processes or 6 in one.
EVEN = """
model.update(head=dict(model['head'], dropout=0.0))
train_dataloader.update(batch_size={batch})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=1.0))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=1)
"""


@pytest.mark.slow
def test_gradients_equal_those_of_one_process(voc_folder, tmp_path):
    """With SGD at rate 1 the weights after an epoch are the start minus the summed gradients."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN[:12], 'val': VAL})
    one = write_config(root, tmp_path / 'one.py', EVEN.format(batch=6))
    two = write_config(root, tmp_path / 'two.py', EVEN.format(batch=3))

    run = run_forked(ROOT / 'tools' / 'train.py', one, '--work-dir', tmp_path / 'one')
    assert run.returncode == 0, run.stderr[-2000:]
    run = subprocess.run(
        ['bash', ROOT / 'tools' / 'dist_train.sh', two, '2', '--work-dir', tmp_path / 'two'],
        env={**environment(), 'PORT': str(20000 + os.getpid() % 20000)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]

    alone = torch.load(tmp_path / 'one' / 'epoch_1.pth', weights_only=True)
    joined = torch.load(tmp_path / 'two' / 'epoch_1.pth', weights_only=True)
    for name, value in alone['state_dict'].items():
        torch.testing.assert_close(
            joined['state_dict'][name], value, atol=1e-5, rtol=1e-5, msg=name
        )
    assert alone['meta']['label_order'] == joined['meta']['label_order']
    assert len(joined['random_state']['ranks']) == 2
