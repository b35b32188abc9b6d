# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run something in a process of its own that has only so much memory and time."""

import multiprocessing
import resource
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ['run_bounded']


def run_bounded(function: Callable, *args: Any, megabytes: int = 400, seconds: int = 30) -> Any:
    """What ``function(*args)`` returns, from a fork of this process.

    Args:
        function: Any; what it changes in the process is lost.
        *args: Its arguments.
        megabytes: Memory that the fork may take beside what this process has.
        seconds: Of processor time; ten times that of waiting, on a machine that is busy.

    Raises:
        AssertionError: If it raises, or is ended for taking too much.
    """
    context = multiprocessing.get_context('fork')
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(there, function, args, megabytes, seconds))
    process.start()
    there.close()
    try:
        assert here.poll(10 * seconds), f'no end after {10 * seconds} s'
        kind, value = here.recv()
    except EOFError:
        process.join()
        raise AssertionError(f'it was ended, status {process.exitcode}') from None
    finally:
        process.kill()
        process.join()
    assert kind == 'returned', value
    return value


def _limited(pipe: Any, function: Callable, args: tuple, megabytes: int, seconds: int) -> None:
    """In the fork."""
    with open('/proc/self/statm', encoding='ascii') as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds + 1))
    try:
        answer = 'returned', function(*args)
    except BaseException:  # noqa: BLE001 - it goes to who asked
        answer = 'raised', traceback.format_exc()
    pipe.send(answer)
    pipe.close()
