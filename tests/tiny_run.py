# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A whole run, small enough for a test: a few 32 x 32 photos, a small backbone, our hooks."""

import os
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ('bus', 'cat', 'dog', 'person')

#: Training images: person 10, cat 6, dog 4, bus 1, and one image without labels.
TRAIN = [
    ['person'],
    ['cat', 'person'],
    ['person', 'cat'],
    ['dog', 'person'],
    ['person', 'dog', 'cat'],
    ['cat'],
    [],
    ['person', 'bus'],
    ['person', 'dog'],
    ['cat', 'person'],
    ['person', 'cat', 'dog'],
    ['person'],
]
VAL = [['person', 'cat'], ['dog'], [], ['bus', 'person']]

CONFIG = """
_base_ = [{base!r}]
pipeline = [dict(type='cnnrnn_mm.LoadImage')]
train_pipeline = [
    *pipeline, dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'), dict(type='PackInputs')
]
test_pipeline = [*pipeline, dict(type='PackInputs')]
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, norm_eval=True
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=4, in_channels=32, embed_dims=8, hidden_dims=8,
        dropout=0.5, postprocessor=dict(beam_size=3),
    ),
)
data_preprocessor = dict(num_classes=4, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
data = dict(type='VOC', data_root={root!r}, metainfo=dict(classes={classes!r}))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(data, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=3, num_workers=0, persistent_workers=False,
    dataset=dict(data, split='val', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='AveragePrecision'), dict(type='cnnrnn_mm.LabelSetMetric')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='ExponentialLR', gamma=0.9)]
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=-1))
env_cfg = dict(cudnn_benchmark=False)
"""


def write_config(root: Path, path: Path, extra: str = '') -> Path:
    """Write the config of a run on the VOC folder ``root``; ``extra`` is appended as it is."""
    base = str(ROOT / 'configs' / '_base_' / 'default_runtime.py')
    path.write_text(CONFIG.format(base=base, root=str(root), classes=CLASSES) + extra)
    return path


def load_config(root: Path, folder: Path, extra: str = '') -> Config:
    """The same config, loaded, for a Runner in this process."""
    cfg = Config.fromfile(write_config(root, folder / 'tiny.py', extra))
    cfg.work_dir = str(folder / 'work')
    cfg.launcher = 'none'
    cfg.experiment_name = folder.name
    return cfg


def run_tool(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run ``python ARGS`` with the project on the path, and capture what it prints."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *map(str, args)],
        cwd=cwd or ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,  # against hanging alone: a busy machine takes its time
    )


def environment() -> dict[str, str]:
    """The environment of a child process: the project and the tests on the path, one thread."""
    return {
        **os.environ,
        'PYTHON': sys.executable,  # for the launch scripts
        'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}',
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
