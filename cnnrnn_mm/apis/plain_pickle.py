# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Read pickles of tensors, arrays and plain types, and of nothing else."""

import collections
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import _utils

from ..errors import UsageError

__all__ = ['load_plain_pickle']


def load_plain_pickle(path: str | Path) -> object:
    """Read a pickle file such as ``tools/test.py --out`` writes, without running code in it.

    A pickle names the functions that rebuild its objects, and Python's own loader calls whatever it
    names. Here only those are called that rebuild tensors, arrays and ordered dicts.

    Raises:
        UsageError: If the file is missing, damaged, or holds anything else.
    """
    try:
        with Path(path).open('rb') as file:
            return _PlainUnpickler(file).load()
    except OSError as error:
        raise UsageError(f'cannot read {path} ({error.strerror}): check the path') from None
    except _ForbiddenError as error:
        raise UsageError(
            f'{path} asks for {error} beside tensors, arrays and plain types and could run code '
            'when loaded, so it was not: write it anew with tools/test.py CONFIG CHECKPOINT --out'
        ) from None
    except Exception as error:  # a damaged pickle can raise anything; none of it ran code
        raise UsageError(
            f'{path} is truncated or no pickle ({type(error).__name__}): write it anew with '
            'tools/test.py CONFIG CHECKPOINT --out FILE.pkl'
        ) from error


class _ForbiddenError(pickle.UnpicklingError):
    """The file names something that is not on the list."""


class _Rebuild:
    """Calls a function, and lets the pickle change nothing about it, which a function would."""

    __slots__ = ('_function',)
    _function: Callable

    def __init__(self, function: Callable) -> None:
        object.__setattr__(self, '_function', function)

    def __call__(self, *args: Any) -> object:
        return self._function(*args)

    def __setattr__(self, name: str, value: object) -> None:
        raise _ForbiddenError('changing a function')

    def __setstate__(self, state: object) -> None:
        raise _ForbiddenError('changing a function')


class _PlainUnpickler(pickle.Unpickler):
    """See "Restricting Globals" in the documentation of Python's pickle module."""

    def find_class(self, module: str, name: str) -> object:
        module = module.replace('numpy.core.', 'numpy._core.').replace('__builtin__', 'builtins')
        if (module, name) not in ALLOWED:
            raise _ForbiddenError(f'{module}.{name}'.replace('\n', ' '))
        return ALLOWED[module, name]

    def persistent_load(self, pid: object) -> object:
        raise _ForbiddenError('a persistent object')


def _load_storage(content: bytes) -> object:
    """A tensor's numbers, which are a file of torch's; torch's own function runs code in it."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 write bytes."""
    if encoding != 'latin1':
        raise _ForbiddenError(f'encoding {encoding!r}')
    return text.encode('latin1')


class _Number:
    """A numpy dtype; its state may set the byte order, but not make it hold objects."""

    def __init__(self, code: str, *_: object) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.hasobject or self.dtype.fields:
            raise _ForbiddenError(f'an array of {code}')

    def __setstate__(self, state: tuple) -> None:
        _, order, subarray, names, fields = state[:5]
        if (subarray, names, fields) != (None, None, None):
            raise _ForbiddenError('an array of records')
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose content follows in the pickle."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, is_fortran, content = state
        super().__setstate__((version, shape, number.dtype, is_fortran, content))


def _from_buffer(
    content: bytes, number: _Number, shape: tuple, order: Literal['C', 'F']
) -> np.ndarray:
    return np.frombuffer(content, number.dtype).reshape(shape, order=order)


#: What pickles of tensors and arrays name, and what is called instead.
ALLOWED = {
    ('builtins', 'bytes'): _Rebuild(lambda: b''),
    ('builtins', 'set'): _Rebuild(set),
    ('collections', 'OrderedDict'): _Rebuild(collections.OrderedDict),
    ('_codecs', 'encode'): _Rebuild(_encode),
    ('torch._utils', '_rebuild_tensor_v2'): _Rebuild(_utils._rebuild_tensor_v2),
    ('torch.storage', '_load_from_bytes'): _Rebuild(_load_storage),
    ('torch', 'Size'): _Rebuild(torch.Size),
    ('numpy', 'ndarray'): None,  # only ever an argument of _reconstruct
    ('numpy', 'dtype'): _Rebuild(_Number),
    ('numpy._core.multiarray', '_reconstruct'): _Rebuild(lambda *_: _Array((0,), np.int8)),
    ('numpy._core.multiarray', 'scalar'): _Rebuild(
        lambda number, content: np.frombuffer(content, number.dtype, count=1)[0]
    ),
    ('numpy._core.numeric', '_frombuffer'): _Rebuild(_from_buffer),
}
