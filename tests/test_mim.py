# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""mim starts MMPretrain's tools, and this project's, on a run of this project."""

import json
import site
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from forked_tool import run_forked
from tiny_run import ROOT, TRAIN, VAL, environment, write_config

INSTALLED = any(Path(one, 'cnnrnn_mm', '.mim').is_dir() for one in site.getsitepackages())
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec('mim') is None, reason='needs openmim: docs/standard_tools.md'),
]
CODEBASES = [
    'mmpretrain',
    pytest.param(
        'cnnrnn_mm',
        marks=pytest.mark.skipif(not INSTALLED, reason='needs an install that is not editable'),
    ),
]


def mim(*args, codebase, cwd):
    """``mim ARGS``; this project's tools run without the checkout on the path."""
    variables = environment()
    if codebase == 'cnnrnn_mm':
        del variables['PYTHONPATH']
    return subprocess.run(
        [sys.executable, '-m', 'mim', *map(str, args)],
        cwd=cwd,
        env=variables | {'PYTHONWARNINGS': 'ignore'},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope='module')
def expected(voc_folder, tmp_path_factory):
    """What tools/train.py gives: (config, weights)."""
    folder = tmp_path_factory.mktemp('mim')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    config = write_config(root, folder / 'tiny.py')
    done = run_forked(ROOT / 'tools' / 'train.py', config, '--work-dir', folder / 'work')
    assert done.returncode == 0, done.stderr[-2000:]
    return config, torch.load(folder / 'work' / 'epoch_2.pth', weights_only=True)


@pytest.mark.parametrize('codebase', CODEBASES)
def test_train_and_test(expected, tmp_path, codebase):
    """The weights of ``tools/train.py``, bit for bit, and in a test the figures of validation."""
    config, ours = expected
    words = ('train', codebase, config, '--work-dir', tmp_path / 'work')
    done = mim(*words, codebase=codebase, cwd=tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert 'Training finished successfully' in done.stdout
    used = Path('site-packages', codebase, '.mim', 'tools', 'train.py')
    assert codebase == 'mmpretrain' or str(used) in done.stdout
    checkpoint = tmp_path / 'work' / 'epoch_2.pth'
    found = torch.load(checkpoint, weights_only=True)
    assert found['meta']['label_order'] == ours['meta']['label_order']
    assert found['state_dict'].keys() == ours['state_dict'].keys()
    for name, weight in ours['state_dict'].items():
        assert torch.equal(found['state_dict'][name], weight), name
    (log,) = (one for one in (tmp_path / 'work').glob('*/vis_data/*.json') if one.name[0] == '2')
    validated = json.loads(log.read_text().splitlines()[-1])

    words = ('test', codebase, config, '--checkpoint', checkpoint, '--work-dir', tmp_path / 'test')
    done = mim(*words, codebase=codebase, cwd=tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (log,) = (tmp_path / 'test').glob('*/*.json')
    tested = json.loads(log.read_text())
    for name in ('multi-label/mAP', 'label-set/O-F1', 'label-set/exact-match'):
        assert tested[name] == pytest.approx(validated[name])
