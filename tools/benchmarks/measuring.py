# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Time and memory of a call, measured so that methods can be compared on a noisy machine."""

import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ['Case', 'peak_bytes', 'time_call', 'time_side_by_side']

Result = TypeVar('Result')


@dataclass
class Case:
    """A call to be timed.

    Attributes:
        run: What is timed.
        prepare: What comes before each call, not timed.
        scale: Factor from the time of the call to the time reported.
        repeats: How often it is timed; 0 where ``seconds`` holds its time already.
        seconds: Filled in by :func:`time_side_by_side`: one scaled time a round; None where this
            case was not timed.
    """

    run: Callable[[], object]
    prepare: Callable[[], None] = lambda: None
    scale: float = 1.0
    repeats: int = 5
    seconds: list[float | None] = field(default_factory=list)


def time_call(run: Callable[[], Result], device: torch.device) -> tuple[float, Result]:
    """Seconds of one call, without garbage collection and with the device's work done."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        _wait(device)
        begin = time.perf_counter()
        result = run()
        _wait(device)
        return time.perf_counter() - begin, result
    finally:
        if collecting:
            gc.enable()


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def time_side_by_side(cases: list[Case], device: torch.device) -> None:
    """Time all cases once in each round, so that what disturbs the machine meets all alike.

    Each round starts with another case. A case with fewer repeats is left out of the last rounds.
    """
    for turn in range(max(case.repeats for case in cases)):
        gc.collect()
        first = turn % len(cases)
        for case in cases[first:] + cases[:first]:
            if turn < case.repeats:
                case.prepare()
                case.seconds.append(case.scale * time_call(case.run, device)[0])
            elif case.repeats:
                case.seconds.append(None)


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most memory that tensors made by a call take at once.

    On CUDA, what the allocator counts. Elsewhere, the live storages of what torch's operators
    return; scratch space inside an operator is not seen.
    """
    if device.type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveTensors() as live:
        run()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Counts bytes of storages that come to life under it, and forgets those that die."""

    def __init__(self) -> None:
        super().__init__()
        self.current, self.peak = 0, 0
        self._known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for value in tree_leaves((args, kwargs)):
            self._meet(value, new=False)
        result = func(*args, **({} if kwargs is None else kwargs))
        for value in tree_leaves(result):
            self._meet(value, new=True)
        self.peak = max(self.peak, self.current)
        return result

    def _meet(self, value: object, new: bool) -> None:
        if not isinstance(value, Tensor):
            return
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if new else 0  # what was there before costs nothing
        self.current += size

        def forget(_: weakref.ref) -> None:
            self._known.pop(key, None)
            self.current -= size

        self._known[key] = weakref.ref(storage, forget)
