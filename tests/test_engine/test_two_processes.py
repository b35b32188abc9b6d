# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two gloo processes do what one process does on the joined batch."""

import json
import os
import subprocess

import pytest
import torch
from feature_cache import write_cache
from forked_tool import run_forked
from process_pair import run_processes
from tiny_run import CLASSES, ROOT, TRAIN, VAL, environment, write_config

#: No dropout, and shares of equal size: 12 images, 3 in each of two processes or 6 in one.
EVEN = """
model.update(head=dict(model['head'], dropout=0.0))
train_dataloader.update(batch_size={batch})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=1.0))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=1)
"""

CACHED = """
nothing = 'e3b0c44298fc1c14'  # the digest of no weights
model.update(
    type='cnnrnn_mm.FeatureClassifier', backbone=dict(type='GlobalAveragePooling'), neck=None,
    features='here', feature_shape=[32], backbone_digest=nothing, neck_digest=nothing,
)
data_preprocessor = dict(num_classes=4)
data = dict(type='cnnrnn_mm.FeatureDataset')
train_dataloader['dataset'] = dict(data, features={train!r}, pipeline=train_pipeline[1:])
val_dataloader['dataset'] = dict(
    data, features={val!r}, test_mode=True, pipeline=test_pipeline[1:]
)
test_dataloader = val_dataloader
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
        timeout=900,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]

    same_runs(tmp_path / 'one', tmp_path / 'two')


@pytest.mark.slow
def test_a_cache_of_features_serves_all_processes(tmp_path):
    """And a validation split of one image gives two processes the metrics of one."""
    folders = {}
    for split, count in (('train', 8), ('val', 1)):
        labels = [sorted({row % 4, row % 3}) for row in range(count)]
        write_cache(tmp_path / split, torch.randn(count, 1, 32), labels, list(CLASSES))
        folders[split] = str(tmp_path / split)
    cached = CACHED.format(**folders)
    one = write_config(tmp_path, tmp_path / 'one.py', EVEN.format(batch=8) + cached)
    two = write_config(tmp_path, tmp_path / 'two.py', EVEN.format(batch=4) + cached)
    run = run_forked(ROOT / 'tools' / 'train.py', one, '--work-dir', tmp_path / 'one')
    assert run.returncode == 0, run.stderr[-2000:]
    work = ('--work-dir', tmp_path / 'two', '--launcher', 'pytorch')
    run_processes(ROOT / 'tools' / 'train.py', two, *work)
    same_runs(tmp_path / 'one', tmp_path / 'two')
    alone, joined = (metrics(tmp_path / name) for name in ('one', 'two'))
    assert len(alone) > 15 and joined == pytest.approx(alone)


def metrics(work_dir):
    """What the last validation reported."""
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    entry = json.loads(scalars.read_text().splitlines()[-1])
    return {name: value for name, value in entry.items() if '/' in name}


def same_runs(one, two):
    """One process and two have ended alike."""
    alone = torch.load(one / 'epoch_1.pth', weights_only=True)
    joined = torch.load(two / 'epoch_1.pth', weights_only=True)
    for name, value in alone['state_dict'].items():
        torch.testing.assert_close(
            joined['state_dict'][name], value, atol=1e-5, rtol=1e-5, msg=name
        )
    assert alone['meta']['label_order'] == joined['meta']['label_order']
    assert len(joined['random_state']['ranks']) == 2
