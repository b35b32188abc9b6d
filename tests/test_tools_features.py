# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/extract_features.py``, and training on what it writes, from outside."""

import json

import pytest
import torch
from tiny_run import CLASSES, ROOT, TRAIN, VAL, run_tool, write_config

from cnnrnn_mm.datasets import CachedFeatures, load_features, save_features

EXTRACT = ROOT / 'tools' / 'extract_features.py'
TRAIN_TOOL = ROOT / 'tools' / 'train.py'
#: A frozen backbone and no dropout: nothing but the features and their order decides the losses.
PLAIN = """
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])
model['head']['dropout'] = 0.0
"""
#: What configs/cnnrnn_cached_corel5k.py does, in the tiny run.
CACHED = """
model['backbone'], model['neck'] = dict(type='cnnrnn_mm.PrecomputedFeatures'), None
model['head']['dropout'] = 0.0
data_preprocessor = dict(num_classes=4)
data = dict(type='cnnrnn_mm.FeatureDataset', data_root={root!r})
train_dataloader['dataset'] = dict(data, ann_file='train.pt', pipeline=train_pipeline[1:])
val_dataloader['dataset'] = dict(
    data, ann_file='val.pt', test_mode=True, pipeline=test_pipeline[1:]
)
test_dataloader = val_dataloader
"""


def only_line(done):
    """The one line that a tool ends with when the user can mend what is wrong."""
    assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and 'Traceback' not in done.stderr
    return lines[0]


def train(config, work_dir, *options):
    """Train, and return the loss of each step and the metrics of each epoch."""
    done = run_tool(TRAIN_TOOL, config, '--work-dir', work_dir, '--cfg-options', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    return losses, [entry for entry in entries if 'multi-label/mAP' in entry]


def extract(config, out, split, *options):
    done = run_tool(EXTRACT, config, '--split', split, '--out', out, *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope='module')
def folder(voc_folder, tmp_path_factory):
    """A folder with photos, a config on them, and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp('extract')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    write_config(root, folder / 'photos.py', PLAIN)
    train(folder / 'photos.py', folder / 'first', 'train_cfg.max_epochs=1')
    return folder


@pytest.mark.slow
def test_training_on_features_equals_training_on_photos(folder):
    """The same steps: no feature is another image's, no label list either."""
    checkpoint = folder / 'first' / 'epoch_1.pth'
    for split in ('train', 'val'):
        done = extract(folder / 'photos.py', folder / 'features' / f'{split}.pt', split, checkpoint)
        assert 'features of' in done.stdout and 'INFO' not in done.stdout
    meta = load_features(folder / 'features' / 'val.pt').meta
    assert meta['checkpoint'] == 'epoch_1.pth' and meta['config'] == 'photos.py'

    write_config(folder, folder / 'cached.py', CACHED.format(root=str(folder / 'features')))
    start = f'load_from={checkpoint}'
    losses, metrics = train(folder / 'photos.py', folder / 'photos', start)
    again, on_features = train(folder / 'cached.py', folder / 'cached', start)
    assert len(losses) == 6 and len(set(losses)) == 6  # two epochs of three steps
    assert again == pytest.approx(losses, rel=1e-4)
    assert len(metrics) == 2
    for ours, theirs in zip(on_features, metrics, strict=True):
        for name in ('multi-label/mAP', 'label-set/O-F1', 'label-set/exact-match'):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-3), name


@pytest.mark.slow
def test_labels_that_features_show_are_learnt(tmp_path):
    """Each feature lists its image's labels and its mirror image's too, at other places."""
    for split, count in (('train', 320), ('val', 40)):
        shown = torch.rand(count, 4) < 0.4
        signal = torch.cat([shown.float(), torch.zeros(count, 28)], 1)
        save_features(
            CachedFeatures(
                features=signal,
                labels=[one.nonzero().flatten().tolist() for one in shown],
                classes=list(CLASSES),
                img_paths=[f'{number}.jpg' for number in range(count)],
                flipped=signal.roll(8, 1),
            ),
            tmp_path / f'{split}.pt',
        )
    schedule = """
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.03))
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=12)
train_dataloader['batch_size'] = 32
model['head'].update(embed_dims=32, hidden_dims=32)
"""
    config = write_config(
        tmp_path, tmp_path / 'cached.py', CACHED.format(root=str(tmp_path)) + schedule
    )
    losses, metrics = train(config, tmp_path / 'work', 'default_hooks.checkpoint.interval=12')
    assert losses[0] > 2.0 and sum(losses[-10:]) / 10 < 0.05
    assert metrics[-1]['label-set/exact-match'] == 100.0


@pytest.mark.slow
def test_mistakes_are_one_line(folder, tmp_path):
    config, out = folder / 'photos.py', tmp_path / 'new' / 'a.pt'
    wrong = run_tool(EXTRACT, config, '--split', 'val', '--out', tmp_path / 'a.pth')
    assert '/a.pth does not end in .pt: name a file' in only_line(wrong)
    (tmp_path / 'folder.pt').mkdir()
    wrong = run_tool(EXTRACT, config, '--split', 'val', '--out', tmp_path / 'folder.pt')
    assert 'folder.pt is a folder' in only_line(wrong)
    (tmp_path / 'file').write_text('')
    wrong = run_tool(EXTRACT, config, '--split', 'val', '--out', tmp_path / 'file' / 'a.pt')
    assert 'cannot make the folder of --out' in only_line(wrong)
    none = ('--cfg-options', 'test_dataloader=None')
    wrong = run_tool(EXTRACT, config, '--split', 'test', '--out', out, *none)
    assert "no split 'test' (test_dataloader): it has train, val" in only_line(wrong)
    assert not list(out.parent.iterdir())  # nothing half-written


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 1])
def test_unreadable_image_is_one_line_and_leaves_the_old_file(voc_folder, tmp_path, workers):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    config, out = write_config(root, tmp_path / 'a.py'), tmp_path / 'a.pt'
    extract(config, out, 'val', '--flip')
    before = out.read_bytes()
    assert load_features(out).flipped is not None
    (root / 'JPEGImages' / 'val_0002.jpg').write_bytes(b'no picture')
    options = ('--cfg-options', f'val_dataloader.num_workers={workers}')
    wrong = run_tool(EXTRACT, config, '--split', 'val', '--out', out, *options)
    assert 'val_0002.jpg' in only_line(wrong)
    assert out.read_bytes() == before
    assert not list(tmp_path.glob('.*'))
