# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Writing in batches, going on after a kill, and what is never left behind."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from cnnrnn_mm.datasets import FeatureWriter, load_features
from cnnrnn_mm.errors import UsageError

FEATURES = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(0))
ANNOTATIONS = [{'img_path': f'{row}.jpg', 'gt_label': [row % 2]} for row in range(5)]
META = dict(views=['plain', 'mirrored'], fingerprint={'a': (1, 2)}, command='python make.py --all')


def open_writer(folder, annotations=ANNOTATIONS, restart=False, **changed):
    return FeatureWriter(folder, {**META, **changed}, annotations, ['a', 'b'], restart)


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def test_batches_come_together(tmp_path):
    with open_writer(tmp_path / 'train') as writer:
        for part in FEATURES.split(2):
            writer.write(part)
            assert names(tmp_path) == ['train.unfinished']  # not there before it is whole
        cached = writer.finish()
    assert names(tmp_path) == ['train']
    assert np.array_equal(cached.views, FEATURES.numpy())
    assert cached.labels == [[0], [1], [0], [1], [0]] and cached.classes == ['a', 'b']


def test_maps_are_kept_as_they_are(tmp_path):
    maps = torch.rand(5, 2, 3, 4, 6)
    with open_writer(tmp_path / 'train') as writer:
        writer.write(maps)
        assert np.array_equal(writer.finish().views, maps.numpy())


def test_a_killed_writer_is_gone_on_with(tmp_path):
    folder = tmp_path / 'train'
    child = os.fork()
    if child == 0:
        try:
            writer = open_writer(folder)
            writer.write(FEATURES[:2])
            writer._views[2:4] = 99  # in the middle of the next batch
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert names(tmp_path) == ['train.unfinished']
    with pytest.raises(UsageError, match=r'not complete: 2 of 5 images; complete them with: '
                       'python make.py --all') as caught:  # fmt: skip
        load_features(folder)
    assert '\n' not in str(caught.value)
    with open_writer(folder) as writer:
        assert writer.done == 2
        writer.write(FEATURES[2:4])
        writer.write(FEATURES[4:])
        writer.finish()
    other = tmp_path / 'other'
    with open_writer(other) as writer:
        writer.write(FEATURES)
        writer.finish()
    assert (folder / 'features.npy').read_bytes() == (other / 'features.npy').read_bytes()
    assert names(folder) == names(other) == ['annotations.json', 'features.npy', 'meta.json']


@pytest.mark.parametrize(
    'changed',
    [
        {'fingerprint': {'a': (1, 3)}},
        {'views': ['plain', 'augmented']},
        {'batch_size': 7},
        {'annotations': ANNOTATIONS[:4]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_unfinished_cache_of_another_make(tmp_path, changed):
    folder = tmp_path / 'train'
    with open_writer(folder) as writer:
        writer.write(FEATURES[:2])
    with pytest.raises(UsageError, match=r'train\.unfinished holds an unfinished cache of another'):
        open_writer(folder, **changed)
    with open_writer(folder) as writer:  # which was left as it is
        assert writer.done == 2
    with open_writer(folder, restart=True, **changed) as writer:
        assert writer.done == 0
        writer.write(FEATURES[: len(changed.get('annotations', ANNOTATIONS))])
        cached = writer.finish()
    assert len(cached.views) == len(changed.get('annotations', ANNOTATIONS))


def test_another_shape_than_before(tmp_path):
    with open_writer(tmp_path / 'train') as writer:
        writer.write(FEATURES[:2])
    with (
        pytest.raises(UsageError, match=r'shape \(5, 2, 4\), those in .* \(5, 2, 3\)'),
        open_writer(tmp_path / 'train') as writer,
    ):
        writer.write(torch.zeros(1, 2, 4))


def test_only_one_process_writes(tmp_path):
    with open_writer(tmp_path / 'train') as writer:
        with pytest.raises(UsageError, match=r'another process is writing to .*train\.unfinished'):
            open_writer(tmp_path / 'train')
        with open_writer(tmp_path / 'val') as other:  # another split, at the same time
            other.write(FEATURES)
        writer.write(FEATURES)
        writer.finish()
    with open_writer(tmp_path / 'train', fingerprint={}) as again:
        assert again.done == 0


def test_the_old_cache_stays_until_the_new_one_is_whole(tmp_path):
    folder = tmp_path / 'train'
    with open_writer(folder) as writer:
        writer.write(FEATURES)
        writer.finish()
    with open_writer(folder, fingerprint={'a': 'new'}) as writer:
        writer.write(2 * FEATURES[:4])
        assert np.array_equal(load_features(folder).views, FEATURES.numpy())
        with pytest.raises(UsageError, match='has 4 of 5 images'):
            writer.finish()
        writer.write(2 * FEATURES[4:])
        writer.finish()
    assert np.array_equal(load_features(folder).views, 2 * FEATURES.numpy())
    assert names(tmp_path) == ['train']
    assert json.loads((folder / 'meta.json').read_text())['fingerprint'] == {'a': 'new'}


@pytest.mark.parametrize('value', [np.nan, -np.inf])
def test_features_that_are_not_finite_name_the_image(tmp_path, value):
    wrong = FEATURES[2:4].clone()
    wrong[1, 0, 2] = value
    with open_writer(tmp_path / 'train') as writer:
        writer.write(FEATURES[:2])
        with pytest.raises(UsageError, match=r'image 3\.jpg holds NaN or infinite values \(1 of 2'):
            writer.write(wrong)
        assert writer.done == 2
    with pytest.raises(UsageError, match='2 of 5 images'):
        load_features(tmp_path / 'train')


def test_nothing_done_leaves_nothing(tmp_path):
    with pytest.raises(UsageError), open_writer(tmp_path / 'train') as writer:
        writer.write(torch.full((2, 2, 3), torch.nan))
    assert not names(tmp_path)
    with (
        pytest.raises(UsageError, match='6 features for 5 images'),
        open_writer(tmp_path / 'train') as writer,
    ):
        writer.write(torch.zeros(6, 2, 3))
    (tmp_path / 'file').write_text('')
    with pytest.raises(UsageError, match=r'cannot write to .*file/train\.unfinished'):
        open_writer(tmp_path / 'file' / 'train')
