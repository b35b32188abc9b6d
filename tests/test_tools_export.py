# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/export_onnx.py`` and ``tools/run_onnx.py``, from outside."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from forked_tool import run_forked
from mmengine.config import Config
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis.trained_model import load_trained_model
from cnnrnn_mm.registry import MODELS

EXPORT = ROOT / 'tools' / 'export_onnx.py'
RUN = ROOT / 'tools' / 'run_onnx.py'
RESIZED = """
_resize = dict(type='Resize', scale=(24, 28))
test_pipeline = [dict(type='cnnrnn_mm.LoadImage'), _resize, dict(type='PackInputs')]
val_dataloader['dataset']['pipeline'] = test_pipeline
test_dataloader = val_dataloader
"""


@pytest.fixture(scope='module')
def run(voc_folder, tmp_path_factory):
    """(config, checkpoint, VOC folder, folder) of a model with random weights."""
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: .[export]')
    pytest.importorskip('onnx', reason='onnx is not installed: .[export]')
    folder = tmp_path_factory.mktemp('export')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    config = write_config(root, folder / 'tiny.py', RESIZED)
    cfg = Config.fromfile(config)
    torch.manual_seed(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cfg.model.type = f'mmpretrain.{cfg.model.type}'
        cfg.model.neck.type = f'mmpretrain.{cfg.model.neck.type}'
        cfg.model.backbone.type = f'mmpretrain.{cfg.model.backbone.type}'
        model = MODELS.build(cfg.model)
    model.head.decoder.image_projection.weight.data.mul_(60.0)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'tiny.pth')
    return config, folder / 'tiny.pth', root, folder


def only_line(done):
    assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and 'Traceback' not in done.stderr
    return lines[0]


def test_file_runs_without_the_package(run):
    """The example gives the model's labels and scores from the photos' files alone."""
    config, checkpoint, root, folder = run
    out = folder / 'out' / 'tiny.onnx'
    out.parent.mkdir()
    done = run_forked(EXPORT, config, checkpoint, '--out', out, '--max-labels', 2)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert [path.name for path in out.parent.iterdir()] == ['tiny.onnx']
    said = ' '.join(done.stdout.split())
    assert '4 photos' in said and 'same paths │ 4' in said and 'onnxruntime' in said

    photos = sorted((root / 'JPEGImages').glob('val_*.jpg'))
    example = subprocess.run(
        [sys.executable, '-I', str(RUN), str(out), *map(str, photos)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert example.returncode == 0, example.stderr[-2000:]
    model = load_trained_model(checkpoint, config, device='cpu').model
    for line, path in zip(example.stdout.splitlines(), photos, strict=True):
        pixels = cv2.resize(cv2.imread(str(path)), (24, 28))
        inputs = [torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))]
        with torch.no_grad():
            data = model.data_preprocessor(dict(inputs=inputs), False)
            (sample,) = model.predict(data['inputs'], constraints=dict(max_length=2))
        name, *labels = line.split('\t')
        assert name == str(path)
        expected = [CLASSES[label] for label in sample.pred_label.tolist()]
        assert [label.split(':')[0] for label in labels] == expected
        for label, one in zip(labels, sample.pred_label.tolist(), strict=True):
            assert float(label.split(':')[1]) == pytest.approx(
                float(sample.pred_score[one]), abs=1e-4
            )


def test_example_needs_three_packages_alone():
    lines = [line for line in RUN.read_text().splitlines() if line.startswith(('import', 'from'))]
    allowed = {'json', 'sys', 'cv2', 'numpy', 'onnxruntime'}
    assert {line.split()[1] for line in lines} == allowed


@pytest.mark.parametrize(
    ('args', 'named'),
    [
        (['--max-labels', '0'], 'max_labels is 0'),
        (['--num-photos', '0'], 'num_photos is 0'),
        (['--opset', '9'], 'opset is 9'),
        (['--photos', 'absent/*.jpg'], 'absent'),
        (['--out', 'tiny.txt'], 'does not end in .onnx'),
        (['--out', 'absent/tiny.onnx'], 'folder absent does not exist'),
        (
            [
                '--cfg-options',
                'model.head.postprocessor.type=BestFirstPostprocessor',
                'model.head.postprocessor._delete_=True',
            ],
            '--beam-size',
        ),
    ],
)
def test_one_line_and_nothing_written(run, tmp_path, args, named):
    config, checkpoint, *_ = run
    args = args if '--out' in args else [*args, '--out', 'tiny.onnx']
    done = run_forked(EXPORT, config, checkpoint, *args, cwd=tmp_path)
    assert named in only_line(done)
    assert list(tmp_path.iterdir()) == []
