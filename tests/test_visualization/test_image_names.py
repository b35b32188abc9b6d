# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Pictures in the backends: mmengine's own classes, on top of recorders of the packages' calls."""

import posixpath
import sys
import types

import mmcv
import numpy as np
import pytest
import torch
from drawn_samples import NAMES, make_sample
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import VISBACKENDS
from mmengine.visualization.vis_backend import BaseVisBackend
from mmpretrain.engine import VisualizationHook
from PIL import Image

from cnnrnn_mm.registry import VISUALIZERS
from cnnrnn_mm.visualization.image_names import safe_name

BACKENDS = ('Local', 'Tensorboard', 'Wandb', 'MLflow', 'ClearML', 'Neptune', 'DVCLive', 'Aim')


@given(st.text(max_size=400))
def test_names_are_one_part_of_a_path(name):
    safe = safe_name(name)
    assert safe and safe == safe_name(safe)
    path = f'{safe}_123456789.png'
    assert posixpath.basename(path) == path == posixpath.normpath(path)
    assert len(path.encode()) <= 255
    assert not set(safe) & set('\\:*?"<>|#%\0\n')
    assert safe.strip('.')


def test_plain_names_stay_what_they_are():
    for name in ('2007_000123.jpg', 'IMG 12 (copy).JPEG', '汽车.png', 'a.b-c'):
        assert safe_name(name) == name
    assert safe_name('a/b\\c:d?.jpg') == 'a_b_c_d_.jpg'
    assert [safe_name(one) for one in ('', '.', '..', '/', ' ')] == ['image'] * 3 + ['_', 'image']


def test_mmengine_knows_all_backends():
    for name in BACKENDS:
        assert issubclass(VISBACKENDS.get(f'{name}VisBackend'), BaseVisBackend)


@pytest.fixture
def packages(monkeypatch):
    """Stand-ins for the backends' packages; what they are handed is kept in a list."""
    calls = []

    class Writer:
        def __init__(self, folder):
            pass

        def add_image(self, tag, image, step, dataformats):
            assert dataformats == 'HWC'
            calls.append((tag, image, step))

    def log_image(image, artifact_file):
        Image.fromarray(image).save(Writer.folder / artifact_file)  # as MLflow: format by suffix
        calls.append((artifact_file, image, None))

    mlflow = types.ModuleType('mlflow')
    mlflow.log_image = log_image
    mlflow.set_tracking_uri = mlflow.set_experiment = lambda *_: None
    mlflow.get_experiment_by_name = lambda name: name
    wandb = types.ModuleType('wandb')
    wandb.init = lambda **_: None
    wandb.Image = lambda image: image
    wandb.log = lambda values, commit: calls.extend((k, v, None) for k, v in values.items())
    board = types.ModuleType('torch.utils.tensorboard')
    board.SummaryWriter = Writer
    for name, module in (('mlflow', mlflow), ('wandb', wandb), (board.__name__, board)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.utils, 'tensorboard', board, raising=False)
    calls_and_folder = types.SimpleNamespace(calls=calls, writer=Writer)
    return calls_and_folder


@pytest.mark.parametrize(
    ('backend', 'expected'),
    [
        ('TensorboardVisBackend', [('a_b.jpg', 1), ('a_b.jpg', 2)]),
        ('WandbVisBackend', [('a_b.jpg', None), ('a_b.jpg', None)]),
        ('MLflowVisBackend', [('a_b.jpg_1.png', None), ('a_b.jpg_2.png', None)]),
    ],
)
def test_each_backend_gets_a_name_and_an_image_that_it_can_store(
    packages, tmp_path, backend, expected
):
    packages.writer.folder = tmp_path
    visualizer = VISUALIZERS.build(
        dict(
            type='cnnrnn_mm.LabelPathVisualizer',
            name=f'{backend} {tmp_path}',
            vis_backends=[dict(type=backend)],
            save_dir=str(tmp_path),
        )
    )
    photo = np.zeros((50, 50, 3), np.uint8)
    drawn = [
        visualizer.visualize_cls(photo, make_sample(), classes=NAMES, name='a:b.jpg', step=step)
        for step in (1, 2)
    ]
    assert [(name, step) for name, _, step in packages.calls] == expected
    for (_, image, _), picture in zip(packages.calls, drawn, strict=True):
        np.testing.assert_array_equal(image, picture)
        assert image.dtype == np.uint8 and image.flags.c_contiguous and image.shape[2] == 3


def test_the_hook_fills_the_local_backend_epoch_by_epoch(tmp_path):
    visualizer = VISUALIZERS.build(
        dict(
            type='cnnrnn_mm.LabelPathVisualizer',
            name=f'hook {tmp_path}',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
        )
    )
    visualizer.dataset_meta = dict(classes=NAMES)
    hook = VisualizationHook(enable=True, interval=1)
    inputs = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    samples = [make_sample(img_path='no/such/a|b.jpg'), make_sample(img_path='x' * 300 + '.jpg')]
    for step in (1, 2):
        hook._draw_samples(0, dict(inputs=inputs), samples, step=step)
    written = sorted(tmp_path.rglob('*.png'))
    names = [f'{name}_{step}.png' for name in ('a_b.jpg', 'x' * 200) for step in (1, 2)]
    assert [path.name for path in written] == names
    for path in written:
        drawn = mmcv.imread(path, channel_order='rgb')
        assert drawn.shape[0] > 320 and (drawn[0] == 255).all()
