# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pathlib

import pytest
import torch

from cnnrnn_mm.apis import check_checkpoint
from cnnrnn_mm.errors import UsageError


def save(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return str(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_whole_checkpoint_passes(tmp_path, zipped):
    path = save(
        tmp_path / 'a.pth',
        {'state_dict': {'w': torch.ones(3)}},
        _use_new_zipfile_serialization=zipped,
    )
    check_checkpoint(path)


@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(tmp_path, share):
    path = save(tmp_path / 'a.pth', {'state_dict': {'w': torch.rand(5000)}})
    content = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=r'a\.pth \(\d+ bytes\) is truncated or not a checkpoint'):
        check_checkpoint(path)


def test_text_file(tmp_path):
    (tmp_path / 'a.pth').write_text('not a checkpoint\n' * 50)
    with pytest.raises(UsageError, match='truncated or not a checkpoint'):
        check_checkpoint(str(tmp_path / 'a.pth'))


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r'a\.pth does not exist'):
        check_checkpoint(str(tmp_path / 'a.pth'))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_file_that_would_run_code_is_refused_and_does_not(tmp_path):
    mark = tmp_path / 'exploded'
    path = save(tmp_path / 'a.pth', {'state_dict': {}, 'extra': Bomb(mark)})
    with pytest.raises(UsageError, match='could run code when loaded'):
        check_checkpoint(path)
    assert not mark.exists()


def test_something_else_than_a_dict(tmp_path):
    with pytest.raises(UsageError, match='holds a Tensor, not a dict'):
        check_checkpoint(save(tmp_path / 'a.pth', torch.ones(2)))


def test_address_is_left_to_the_host():
    check_checkpoint('https://example.org/a.pth')
