# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The command-line tools, from outside."""

import json
from pathlib import Path

import mmpretrain
import pytest
import torch
from forked_tool import run_forked
from tiny_run import ROOT, TRAIN, VAL, run_tool, write_config

TRAIN_TOOL = ROOT / 'tools' / 'train.py'
TEST_TOOL = ROOT / 'tools' / 'test.py'
HOST_TOOLS = Path(mmpretrain.__file__).parent / '.mim' / 'tools'


@pytest.fixture(scope='module')
def run(voc_folder, tmp_path_factory):
    """A trained run: (config, checkpoint, VOC folder, folder)."""
    folder = tmp_path_factory.mktemp('tools')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    config = write_config(root, folder / 'tiny.py')
    done = run_tool(TRAIN_TOOL, config, '--work-dir', folder / 'work')
    assert done.returncode == 0, done.stderr[-3000:]
    return config, folder / 'work' / 'epoch_2.pth', root, folder


def only_line(done):
    """The one line that a tool ends with when the user can mend what is wrong."""
    assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    assert 'Traceback' not in done.stderr
    return lines[0]


@pytest.mark.slow
def test_test_tool_writes_metrics_and_pictures(run):
    config, checkpoint, _, folder = run
    done = run_tool(
        TEST_TOOL,
        config,
        checkpoint,
        '--work-dir',
        folder / 'test',
        '--show-dir',
        folder / 'pictures',
        '--out',
        folder / 'metrics.json',
        '--out-item',
        'metrics',
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((folder / 'metrics.json').read_text())
    assert {'multi-label/mAP', 'label-set/C-F1', 'label-set/O-F1'} <= metrics.keys()
    assert len(list((folder / 'pictures').glob('*.png'))) == len(VAL)


@pytest.mark.slow
@pytest.mark.skipif(not HOST_TOOLS.is_dir(), reason="needs MMPretrain's .mim folder")
def test_mmpretrain_tools_run_our_config(run):
    config, _, _, folder = run
    done = run_forked(HOST_TOOLS / 'train.py', config, '--work-dir', folder / 'host')
    assert done.returncode == 0, done.stderr[-3000:]
    ours = torch.load(folder / 'work' / 'epoch_2.pth', weights_only=True)
    host = torch.load(folder / 'host' / 'epoch_2.pth', weights_only=True)
    for name, value in ours['state_dict'].items():
        assert torch.equal(value, host['state_dict'][name]), name
    out = folder / 'host.pkl'
    done = run_forked(
        HOST_TOOLS / 'test.py',
        config,
        folder / 'host' / 'epoch_2.pth',
        *('--work-dir', folder / 'host', '--out', out),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), 'is truncated or not a'),
        (lambda path: path.unlink(), 'does not exist: check the path'),
    ],
    ids=['truncated', 'missing'],
)
def test_bad_checkpoint_is_one_line(run, tmp_path, damage, message):
    config, checkpoint, _, _ = run
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(checkpoint.read_bytes())
    damage(broken)
    assert message in only_line(run_forked(TEST_TOOL, config, broken))
    assert message in only_line(
        run_forked(TRAIN_TOOL, config, '--work-dir', tmp_path, '--resume', broken)
    )


@pytest.mark.slow
def test_bad_data_is_one_line(run, tmp_path):
    config, _, root, _ = run
    moved = 'train_dataloader.dataset.data_root=' + str(tmp_path / 'nowhere')
    done = run_forked(TRAIN_TOOL, config, '--work-dir', tmp_path, '--cfg-options', moved)
    assert 'nowhere does not exist; expected JPEGImages/*.jpg, Annotations' in only_line(done)

    # The neck gives 32 channels.
    wrong = ('--cfg-options', 'model.head.in_channels=48')
    done = run_forked(TRAIN_TOOL, config, '--work-dir', tmp_path, *wrong)
    assert 'in_channels=48, but backbone and neck give 32' in only_line(done)
    assert not list(tmp_path.glob('*.pth'))

    done = run_forked(TRAIN_TOOL, tmp_path / 'none.py')
    assert 'none.py does not exist' in only_line(done)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 1])
def test_unreadable_image_is_one_line_or_skipped(voc_folder, tmp_path, workers):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    (root / 'JPEGImages' / 'train_0003.jpg').write_bytes(b'no picture')
    (root / 'JPEGImages' / 'val_0002.jpg').write_bytes(b'')
    loaders = '\ntrain_dataloader.update(num_workers={0}, persistent_workers={1})\n'
    extra = loaders.format(workers, workers > 0)
    config = write_config(root, tmp_path / 'a.py', extra)
    line = only_line(run_forked(TRAIN_TOOL, config, '--work-dir', tmp_path / 'a'))
    assert 'train_0003.jpg' in line and 'ReadableImages' in line

    for name in ('train', 'val', 'test'):
        wrapped = f"dict(type='cnnrnn_mm.ReadableImages', dataset={name}_dataloader['dataset'])"
        extra += f'{name}_dataloader = dict({name}_dataloader, dataset={wrapped})\n'
    config = write_config(root, tmp_path / 'b.py', extra)
    done = run_forked(TRAIN_TOOL, config, '--work-dir', tmp_path / 'b')
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout + done.stderr
    assert f'Skipped 1 of {len(TRAIN)} images' in said and 'train_0003.jpg' in said
    assert f'Skipped 1 of {len(VAL)} images' in said and 'val_0002.jpg' in said
