# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A call in a process of its own, whose end does not end this one."""

import logging
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ['LostProcessError', 'call_apart']

Result = TypeVar('Result')
#: A fork has imported everything already; elsewhere than on Linux it is not safe.
METHOD = 'fork' if sys.platform == 'linux' else 'spawn'


class LostProcessError(RuntimeError):
    """The process took too long, or ended without an answer."""


def call_apart(function: Callable[..., Result], *args: Any, timeout: float) -> Result:
    """What ``function(*args)`` returns in a child process, quiet and with one thread.

    Args:
        function: One that ``pickle`` can name.
        *args: Its arguments.
        timeout: Seconds.

    Raises:
        LostProcessError: If the child ends without an answer: it is killed, runs out of memory, or
            ``function`` raises.
        LostProcessError: If there is no answer in time; the child is killed.
    """
    context = multiprocessing.get_context(METHOD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, args), daemon=True)
    process.start()
    sender.close()  # so that the end of the child is the end of the pipe
    try:
        if not receiver.poll(timeout):
            raise LostProcessError(f'no answer within {timeout:g} s')
        return receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        how = f'signal {-code}' if code < 0 else f'exit status {code}'
        raise LostProcessError(f'its process ended with {how}') from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _answer(sender: Any, function: Callable[..., Any], args: tuple) -> None:
    torch.set_num_threads(1)  # threads of the parent's do not live in a fork
    logging.disable(logging.WARNING)  # the host tells each initialised weight
    warnings.simplefilter('ignore')
    sender.send(function(*args))
