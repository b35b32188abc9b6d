# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pathlib
from dataclasses import fields, replace

import pytest
import torch

from cnnrnn_mm.datasets import CachedFeatures, load_features, save_features
from cnnrnn_mm.errors import UsageError

LABELS = [[2, 0], [], [1]]


def make(**changed):
    content = dict(
        features=torch.rand(3, 5),
        labels=LABELS,
        classes=['bird', 'cat', 'dog'],
        img_paths=['a.jpg', 'b.jpg', 'c.jpg'],
        meta={'config': 'tiny.py', 'input_size': [32, 32]},
        flipped=torch.rand(3, 5),
    )
    return CachedFeatures(**{**content, **changed})


@pytest.mark.parametrize('changed', [{}, {'flipped': None}, {'classes': None}], ids=str)
def test_what_is_written_is_read(tmp_path, changed):
    path = tmp_path / 'deep' / 'folder' / 'a.pt'  # made on the way
    cached = make(**changed)
    save_features(cached, path)
    read = load_features(path)
    for field in fields(cached):
        ours, theirs = getattr(cached, field.name), getattr(read, field.name)
        equal = torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
        assert equal, field.name
    content = torch.load(path, weights_only=True)
    assert ('flipped' in content) == (cached.flipped is not None)
    assert [one.name for one in path.parent.iterdir()] == ['a.pt']


def test_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / 'a.pt'
    old = make()
    save_features(old, path)

    def fail(content, target):
        pathlib.Path(target).write_bytes(b'half')
        raise OSError('no space left')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='no space left'):
        save_features(make(), path)
    assert [one.name for one in tmp_path.iterdir()] == ['a.pt']
    monkeypatch.undo()
    assert torch.equal(load_features(path).features, old.features)
    new = make(flipped=None)
    save_features(new, path)
    assert torch.equal(load_features(path).features, new.features)


nan, infinite = torch.rand(3, 5), torch.rand(3, 5)
nan[1, 2], infinite[2, 0] = torch.nan, -torch.inf


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'features': torch.rand(5)}, r"'features' is float32 of shape \(5,\), not float32 of sha"),
        ({'features': torch.rand(3, 5).double()}, r"'features' is float64 of shape \(3, 5\), not"),
        ({'features': [[1.0]]}, "'features' is a list, not float32"),
        ({'flipped': torch.rand(3, 4)}, r"'flipped' has shape \(3, 4\), 'features' \(3, 5\)"),
        ({'flipped': torch.rand(3, 5).half()}, "'flipped' is float16"),
        ({'labels': LABELS[:2]}, "'labels' has 2 entries for 3 features"),
        ({'labels': 'abc'}, "'labels' has a str for 3 features"),
        ({'img_paths': ['a.jpg'] * 4}, "'img_paths' has 4 entries for 3 features"),
        ({'labels': [[2, 0], [], [3]]}, r'label 3 of image c\.jpg is outside 0\.\.2 \(3 classes'),
        ({'labels': [[2, 0], [-1], []]}, r'label -1 of image b\.jpg is outside'),
        (
            {'labels': [[-1], [4], []], 'classes': None},
            r'label -1 of image a\.jpg is outside 0\.\.4',
        ),
        ({'labels': [[1, 1], [], []]}, r'label 1 comes twice in image a\.jpg'),
        ({'labels': [[1], ['cat'], []]}, r'labels of image b\.jpg are no list of class ids'),
        ({'labels': [[1], [0.5], []]}, r'labels of image b\.jpg are no list of class ids'),
        ({'labels': [[1], 2, []]}, r'labels of image b\.jpg are no list of class ids'),
        ({'features': nan}, r'image b\.jpg holds NaN or infinite values \(1 of 3 images'),
        ({'flipped': infinite}, r'image c\.jpg holds NaN or infinite values'),
    ],
)
def test_content_that_contradicts_itself(changed, message, tmp_path):
    with pytest.raises(UsageError, match=message) as caught:
        make(**changed)
    assert '\n' not in str(caught.value)
    # The same from a file, which the message then names.
    content = {field.name: getattr(make(), field.name) for field in fields(CachedFeatures)}
    torch.save({**content, **changed}, tmp_path / 'wrong.pt')
    with pytest.raises(UsageError, match=r'wrong\.pt: .*' + message):
        load_features(tmp_path / 'wrong.pt')


def test_no_image():
    none = torch.zeros(0, 5)
    with pytest.raises(UsageError, match='there is no image: an empty split'):
        make(features=none, flipped=None, labels=[], img_paths=[])


@pytest.mark.parametrize('name', ['features', 'labels', 'classes', 'img_paths', 'meta'])
def test_missing_key(tmp_path, name):
    content = {field.name: getattr(make(), field.name) for field in fields(CachedFeatures)}
    del content[name]
    torch.save(content, tmp_path / 'a.pt')
    with pytest.raises(UsageError, match=rf"a\.pt has no '{name}': write it with tools/extract"):
        load_features(tmp_path / 'a.pt')


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_no_file_of_features(tmp_path):
    path = tmp_path / 'a.pt'
    with pytest.raises(UsageError, match=r'a\.pt does not exist: write it with'):
        load_features(path)
    path.write_text('no features\n')
    with pytest.raises(UsageError, match=r'a\.pt is truncated or no file of features'):
        load_features(path)
    save_features(make(), path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(UsageError, match=r'a\.pt is truncated or no file of features'):
        load_features(path)
    torch.save(torch.rand(3, 5), path)
    with pytest.raises(UsageError, match=r'a\.pt holds float32 of shape \(3, 5\), not a dict'):
        load_features(path)
    torch.save({'features': Bomb(tmp_path / 'exploded')}, path)
    with pytest.raises(UsageError, match=r'a\.pt is truncated or no file of features'):
        load_features(path)
    assert not (tmp_path / 'exploded').exists()


def test_part_of_a_split_writes_only_itself(tmp_path):
    whole = make(features=torch.rand(3, 5).repeat(1, 2000), flipped=None)
    part = replace(whole, features=whole.features[:1], labels=[[1]], img_paths=['a.jpg'])
    save_features(whole, tmp_path / 'whole.pt')
    save_features(part, tmp_path / 'part.pt')
    sizes = {one.stem: one.stat().st_size for one in tmp_path.iterdir()}
    assert sizes['part'] < sizes['whole'] / 2
