# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/extract_features.py``, and training and testing on what it writes, from outside."""

import json
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch
from feature_cache import write_cache
from forked_tool import run_forked
from tiny_run import CLASSES, ROOT, TRAIN, VAL, environment, write_config

from cnnrnn_mm.datasets import load_features

EXTRACT = ROOT / 'tools' / 'extract_features.py'
TRAIN_TOOL = ROOT / 'tools' / 'train.py'
TEST_TOOL = ROOT / 'tools' / 'test.py'
FROZEN = """
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])
"""


def only_line(done):
    """The one line that a tool ends with when the user can mend what is wrong."""
    assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and 'Traceback' not in done.stderr
    return lines[0]


def train(config, work_dir, *options):
    """Train, and return the loss of each step and the metrics of each epoch."""
    done = run_forked(TRAIN_TOOL, config, '--work-dir', work_dir, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    return losses, [entry for entry in entries if 'multi-label/mAP' in entry]


def extract(config, out, *options):
    done = run_forked(EXTRACT, config, '--out', out, *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope='module')
def folder(voc_folder, tmp_path_factory):
    """A folder with photos, a config on them, and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp('extract')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    write_config(root, folder / 'photos.py', FROZEN)
    train(folder / 'photos.py', folder / 'first', '--cfg-options', 'train_cfg.max_epochs=1')
    return folder


@pytest.mark.slow
def test_training_on_features_equals_training_on_photos(folder):
    """The same steps: no feature is another image's, no label list either."""
    config, checkpoint = folder / 'photos.py', folder / 'first' / 'epoch_1.pth'
    cache = folder / 'features'
    done = extract(config, cache, checkpoint)
    assert '32 features of 12 images' in done.stdout and 'INFO' not in done.stdout
    assert not (cache / 'test').exists()  # the tiny config tests on its validation split
    assert load_features(cache / 'val').meta['checkpoint'] == 'epoch_1.pth'
    start = ('--cfg-options', f'load_from={checkpoint}')
    losses, metrics = train(config, folder / 'photos', *start)
    again, on_features = train(config, folder / 'cached', '--features', cache, *start)
    assert len(losses) == 6 and len(set(losses)) == 6  # two epochs of three steps
    assert again == pytest.approx(losses, abs=1e-4)
    assert len(metrics) == 2
    for ours, theirs in zip(on_features, metrics, strict=True):
        for name in ('multi-label/mAP', 'label-set/O-F1', 'label-set/exact-match'):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-3), name
    # The checkpoint tests with and without features, and alike.
    found = []
    for name, options in (('a', ()), ('b', ('--features', cache))):
        out, last = folder / f'{name}.pkl', folder / 'cached' / 'epoch_2.pth'
        work = ('--work-dir', folder / f'test_{name}')
        done = run_forked(TEST_TOOL, config, last, '--out', out, *work, *options)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(pickle.loads(out.read_bytes()))
    assert len(found[0]) == len(found[1]) == len(VAL)
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one['pred_score'], other['pred_score'], atol=1e-4)
        assert one['pred_label'].tolist() == other['pred_label'].tolist()
        assert one['img_path'] == other['img_path']


@pytest.mark.slow
def test_labels_that_features_show_are_learnt(tmp_path):
    """Each feature lists its image's labels and its mirror image's too, at other places."""
    data = {}
    for split, count in (('train', 320), ('val', 40)):
        shown = torch.rand(count, 4) < 0.4
        signal = torch.cat([shown.float(), torch.zeros(count, 28)], 1)
        views = torch.stack([signal, signal.roll(8, 1)], 1)
        labels = [one.nonzero().flatten().tolist() for one in shown]
        write_cache(tmp_path / split, views, labels, list(CLASSES), ('plain', 'mirrored'))
        data[split] = str(tmp_path / split)
    nothing = 'e3b0c44298fc1c14'  # the digest of no weights
    cached = f"""
model.update(
    type='cnnrnn_mm.FeatureClassifier', backbone=dict(type='GlobalAveragePooling'), neck=None,
    features='here', feature_shape=[32], backbone_digest={nothing!r}, neck_digest={nothing!r},
)
model['head'].update(dropout=0.0, embed_dims=32, hidden_dims=32)
data_preprocessor = dict(num_classes=4)
data = dict(type='cnnrnn_mm.FeatureDataset')
train_dataloader.update(
    batch_size=32, dataset=dict(data, features={data['train']!r}, pipeline=train_pipeline[1:])
)
val_dataloader['dataset'] = dict(
    data, features={data['val']!r}, test_mode=True, pipeline=test_pipeline[1:]
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.03))
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=12)
default_hooks['checkpoint']['interval'] = 12
"""
    losses, metrics = train(write_config(tmp_path, tmp_path / 'a.py', cached), tmp_path / 'work')
    assert losses[0] > 2.0 and sum(losses[-10:]) / 10 < 0.05
    assert metrics[-1]['label-set/exact-match'] == 100.0


@pytest.mark.slow
def test_a_killed_extraction_goes_on_to_the_same_bytes(folder, tmp_path):
    config, options = folder / 'photos.py', ('--copies', '2', '--splits', 'train')
    options += ('--cfg-options', 'train_dataloader.batch_size=1')
    words = [sys.executable, EXTRACT, config, '--out', tmp_path / 'a', *options]
    process = subprocess.Popen(
        list(map(str, words)), env=environment(), stdout=subprocess.DEVNULL, cwd=ROOT
    )
    progress = tmp_path / 'a' / 'train.unfinished' / 'progress.json'
    deadline = time.monotonic() + 250
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = json.loads(progress.read_text())['done']
    assert 0 < done < 12
    no_val = ('--no-validate', '--work-dir', tmp_path / 'w')
    wrong = run_forked(TRAIN_TOOL, config, '--features', tmp_path / 'a', *no_val)
    assert f'are not complete: {done} of 12 images; complete them with: python tools/extract' in (
        only_line(wrong)
    )
    extract(config, tmp_path / 'a', *options)
    extract(config, tmp_path / 'b', *options)
    first, second = (tmp_path / name / 'train' / 'features.npy' for name in 'ab')
    assert first.read_bytes() == second.read_bytes()
    assert load_features(tmp_path / 'a' / 'train').views.shape == (12, 3, 32)


@pytest.mark.slow
def test_mistakes_are_one_line(folder, tmp_path):
    config, cache = folder / 'photos.py', tmp_path / 'none'
    work = ('--work-dir', tmp_path / 'work')
    wrong = run_forked(TRAIN_TOOL, config, '--features', cache, *work)
    assert f'extract_features.py {config} --splits train val --out {cache}' in only_line(wrong)
    (tmp_path / 'file').write_text('')
    wrong = run_forked(EXTRACT, config, '--out', tmp_path / 'file' / 'a')
    assert 'cannot write to' in only_line(wrong)
    options = ('--splits', 'test', '--cfg-options', 'test_dataloader=None')
    wrong = run_forked(EXTRACT, config, '--out', tmp_path / 'a', *options)
    assert "no split 'test' (test_dataloader): it has train, val" in only_line(wrong)
    assert not (tmp_path / 'a').exists()  # nothing half-written
    checkpoint, pictures = folder / 'first' / 'epoch_1.pth', ('--show-dir', tmp_path / 'pictures')
    wrong = run_forked(TEST_TOOL, config, checkpoint, '--features', cache, *pictures, *work)
    assert 'pictures need the images' in only_line(wrong)


@pytest.mark.slow
def test_unreadable_image_is_one_line_and_leaves_the_old_cache(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    config, cache = write_config(root, tmp_path / 'a.py', FROZEN), tmp_path / 'f'
    extract(config, cache, '--splits', 'val')
    before = (cache / 'val' / 'features.npy').read_bytes()
    (root / 'JPEGImages' / 'val_0001.jpg').write_bytes(b'no picture')
    options = ('--splits', 'val', '--overwrite', '--cfg-options')
    wrong = run_forked(EXTRACT, config, '--out', cache, *options, 'val_dataloader.num_workers=1')
    assert 'val_0001.jpg' in only_line(wrong)
    assert (cache / 'val' / 'features.npy').read_bytes() == before
    assert [one.name for one in cache.iterdir()] == ['val']
