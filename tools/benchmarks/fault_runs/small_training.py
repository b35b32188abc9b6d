# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A training of seconds on generated scenes, and a process of its own for it."""

import os
import runpy
import sys
from pathlib import Path

from cnnrnn_mm.datasets.demo_scenes import generate_demo_scenes

__all__ = ['EPOCHS', 'ITERATIONS', 'start_training', 'write_training']

ROOT = Path(__file__).resolve().parents[3]
EPOCHS, BATCH, TRAIN, VAL = 4, 8, 48, 24
ITERATIONS = TRAIN // BATCH
#: The variable that tells the child where to report its moments.
MOMENTS = 'CNNRNN_MOMENTS'

CONFIG = """
_base_ = [{root!r} + '/configs/_base_/datasets/demo_scenes.py',
          {root!r} + '/configs/_base_/default_runtime.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=10, in_channels=32, embed_dims=8, hidden_dims=8,
        dropout=0.5, postprocessor=dict(beam_size=3),
    ),
)
data_root = {data!r}
loader = dict(num_workers={workers}, persistent_workers=False)
train_dataloader = dict(loader, batch_size={batch}, dataset=dict(data_root=data_root))
val_dataloader = dict(loader, batch_size=8, dataset=dict(data_root=data_root))
test_dataloader = test_evaluator = test_cfg = None
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))
param_scheduler = [dict(type='ExponentialLR', gamma=0.9)]
train_cfg = dict(by_epoch=True, max_epochs={epochs})
val_cfg = dict()
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(max_keep_ckpts=2, save_best='label-set/O-F1', rule='greater'),
)
custom_hooks = [dict(type='cnnrnn_mm.MomentHook')]
env_cfg = dict(cudnn_benchmark=False)
"""


def write_training(folder: Path, workers: int) -> Path:
    """Write scenes and config below ``folder``.

    Args:
        folder: Made if it is not there.
        workers: Data-loading processes; 0 loads in the training's own.

    Returns:
        The config.
    """
    data = generate_demo_scenes(folder / 'scenes', {'train': TRAIN, 'val': VAL, 'test': 1}, 0)
    config = folder / 'small.py'
    config.write_text(
        CONFIG.format(root=str(ROOT), data=str(data), batch=BATCH, epochs=EPOCHS, workers=workers)
    )
    return config


def start_training(config: Path, work_dir: Path, *options: str) -> tuple[int, int]:
    """Start ``tools/train.py`` in a fork of this process, which has imported everything.

    What it prints goes to ``work_dir`` with ``.txt`` for a suffix, added to what is there.

    Returns:
        The child's id, and a file descriptor from which the moments that it reports can be read.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    status = 1
    try:
        os.close(reader)
        os.environ[MOMENTS] = str(writer)
        log = os.open(work_dir.with_suffix('.txt'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ['train.py', str(config), '--work-dir', str(work_dir), *options]
        runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
