# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import random

import numpy as np
import torch
from mmengine.runner import Runner
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.engine.hooks.random_state_hook import capture, restore


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_restore_repeats_the_draws(tmp_path):
    """Through a file that is read with weights_only, as in a checkpoint."""
    np.random.normal()  # leaves a cached gauss value behind, a part of the state
    torch.save(capture(), tmp_path / 'state.pth')
    expected = [draw() for _ in range(3)]
    restore(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert [draw() for _ in range(3)] == expected


def train(voc_folder, folder, name, extra):
    root = folder / 'voc'
    if not root.exists():
        voc_folder(root, {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, folder, extra)
    cfg.work_dir = str(folder / name)
    cfg.experiment_name = f'{folder.name}-{name}'
    Runner.from_cfg(cfg).train()
    return torch.load(folder / name / 'epoch_2.pth', weights_only=True)['state_dict']


def test_validation_does_not_change_training(voc_folder, tmp_path):
    """With dropout on, a run that validates ends with the weights of one that does not."""
    never = '\nval_cfg = val_dataloader = val_evaluator = None\n'
    with_validation = train(voc_folder, tmp_path, 'with', '')
    without = train(voc_folder, tmp_path, 'without', never)
    for name, value in with_validation.items():
        assert torch.equal(value, without[name]), name
