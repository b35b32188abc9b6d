# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import collections
import functools
import os
import pickle
import subprocess

import numpy as np
import pytest
import torch

from cnnrnn_mm.apis.plain_pickle import load_plain_pickle
from cnnrnn_mm.errors import UsageError

CONTENT = [
    dict(
        img_path='a/b.jpg',
        pred_label=torch.tensor([3, 0, 2]),
        part=torch.arange(12).reshape(3, 4)[1:, ::2],  # a view: offset and strides
        half=torch.tensor([1.5], dtype=torch.bfloat16),
        nothing=torch.zeros(0, 4),
        size=torch.Size([2, 3]),
        array=np.arange(6.0).reshape(2, 3)[:, ::-1],
        columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
        big_endian=np.array([1.5, -2.0], dtype='>f4'),
        words=np.array(['ab', 'c']),
        number=np.float32(2.5),
        flag=np.bool_(True),
        area={1: 0.25},
        content=b'ab\xff',
        empty=b'',
        several={1, 2},
        ordered=collections.OrderedDict(a=1),
        plain=(1, None, True, 2.5, 'ä'),
    )
]


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_comes_back_as_it_was(tmp_path, protocol):
    """As Python's own loader reads it; protocol 2 is what the test tool writes."""
    path = write(tmp_path / 'a.pkl', CONTENT, protocol)
    (found,), (expected,) = load_plain_pickle(path), pickle.loads(path.read_bytes())
    assert found.keys() == CONTENT[0].keys()
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(found[key], value) and found[key].dtype == value.dtype, key
        elif isinstance(value, np.ndarray | np.generic):
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype and isinstance(found[key], type(value)), key
        else:
            assert found[key] == value and type(found[key]) is type(value), key


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def malicious_storage(folder):
    """A tensor whose numbers, which torch reads with a loader of its own, are a program."""
    inner = pickle.dumps(Call(os.mkdir, str(folder / 'done')), 2)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return Call(
        torch.storage._load_from_bytes, magic + pickle.dumps({}, 2) + inner + pickle.dumps([], 2)
    )


ATTACKS = {
    'mkdir': lambda folder: Call(os.mkdir, str(folder / 'done')),
    'eval': lambda folder: Call(eval, f'__import__("os").mkdir({str(folder / "done")!r})'),
    'process': lambda folder: Call(subprocess.run, ['mkdir', str(folder / 'done')]),
    'partial': lambda folder: Call(functools.partial, os.mkdir, str(folder / 'done')),
    'getattr': lambda folder: Call(getattr, 'a', 'upper'),
    'torch.load': lambda folder: Call(torch.load, str(folder / 'x')),
    'storage': malicious_storage,
    'inside an allowed call': lambda folder: Call(
        collections.OrderedDict, [('a', Call(os.mkdir, str(folder / 'done')))]
    ),
    'object array': lambda folder: np.array([Call(os.mkdir, str(folder / 'done'))], dtype=object),
}


@pytest.mark.parametrize('attack', ATTACKS)
@pytest.mark.parametrize('protocol', [2, 4])
def test_no_code_runs(tmp_path, attack, protocol):
    path = write(tmp_path / 'a.pkl', [ATTACKS[attack](tmp_path)], protocol)
    with pytest.raises(UsageError, match=r'a\.pkl (asks for|is truncated)') as raised:
        load_plain_pickle(path)
    assert '\n' not in str(raised.value)
    assert not (tmp_path / 'done').exists()


def test_attacks_would_work_on_pythons_loader(tmp_path):
    """Or else the test above would show nothing."""
    for name in ('mkdir', 'eval', 'process', 'inside an allowed call', 'storage', 'object array'):
        folder = tmp_path / name
        folder.mkdir()
        pickle.loads(pickle.dumps([ATTACKS[name](folder)], protocol=2))
        assert (folder / 'done').exists(), name


def test_functions_and_types_can_not_be_changed(tmp_path):
    before = torch._utils._rebuild_tensor_v2.__defaults__
    for name in ('torch._utils\n_rebuild_tensor_v2', 'torch.storage\n_load_from_bytes'):
        # GLOBAL name, then BUILD with a state for its slots
        state = pickle.dumps((None, {'__defaults__': (1,)}), 0)[:-1]
        path = tmp_path / 'a.pkl'
        path.write_bytes(b'c' + name.encode() + b'\n' + state + b'b.')
        with pytest.raises(UsageError, match='changing a function'):
            load_plain_pickle(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_records_of_objects_are_refused(tmp_path):
    for dtype in (object, [('a', object)], [('a', 'f4')]):
        path = write(tmp_path / 'a.pkl', np.zeros(2, dtype=dtype))
        with pytest.raises(UsageError, match='asks for'):
            load_plain_pickle(path)


@pytest.mark.parametrize(
    'content', [b'', b'no pickle', pickle.dumps(CONTENT, 2)[:-400], b'\x80\x02]q\x00.']
)
def test_damaged_files(tmp_path, content):
    path = tmp_path / 'a.pkl'
    path.write_bytes(content)
    if content.endswith(b'q\x00.'):
        assert load_plain_pickle(path) == []
        return
    with pytest.raises(UsageError, match='is truncated or no pickle'):
        load_plain_pickle(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / 'none.pkl', tmp_path):
        with pytest.raises(UsageError, match='cannot read .*: check the path'):
            load_plain_pickle(path)
