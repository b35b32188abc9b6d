# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What has ended a run that was well on its way."""

import errno
import re
import signal
import time
import traceback
from collections.abc import Sequence

from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MessageHub

__all__ = ['explain_interrupt', 'explain_run_error']

#: What torch's DataLoader says when one of its processes has gone.
WORKER = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.+)', re.DOTALL)
STALLED = re.compile(r'DataLoader timed out after (\d+) seconds')
#: What the back ends of torch.distributed say when another process has gone, or does not answer.
GONE = ('Connection closed by peer', 'Connection reset by peer', 'Broken pipe', 'remote process')
SILENT = ('Timed out waiting', 'timed out', 'Watchdog caught collective operation timeout')
#: Seconds that a process may take to end once its connection is broken.
LONGEST_END = 10.0
FULL = (errno.ENOSPC, errno.EDQUOT)


def explain_run_error(error: BaseException) -> str | None:
    """One line about a process, a disk or a network that failed, and how to go on.

    Args:
        error: What was raised.

    Returns:
        The line; None if the error is of another kind.
    """
    try:
        return _explain(error)
    except RuntimeError as interrupting:  # torch raises a worker's end wherever the process is then
        return _explain(interrupting)


def explain_interrupt(interrupt: KeyboardInterrupt) -> str:
    """One line for a run that was ended with Ctrl-C, and how to go on, if a checkpoint tells."""
    said = str(interrupt)
    if not said:
        last = MessageHub.get_current_instance().runtime_info.get('last_ckpt')
        said = f'continue with --resume (from {last})' if last else ''
    return f'interrupted: {said}' if said else 'interrupted'


def _explain(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in FULL:
        where = f' of {error.filename}' if error.filename else ''
        return f'the disk{where} is full ({error.strerror}): free some space, {_go_on()}'
    worker = _dead_worker(error)
    if worker is not None:
        return (
            f'data-loading worker {worker} has died, as happens when memory runs out: lower '
            f'num_workers or batch_size if it does so again, and {_go_on()}'
        )
    if not isinstance(error, RuntimeError):
        return None
    said = str(error)
    stalled = STALLED.search(said)
    if stalled is not None:
        return (
            f'no batch came within the timeout={stalled[1]} seconds of the dataloader: look at the '
            f'storage, and {_go_on()}'
        )
    if get_world_size() == 1 or not _is_of_distributed(error):
        return None
    if any(words in said for words in GONE):
        what = 'another process of this run has ended: its own message tells why; mend that'
    elif any(words in said for words in SILENT):
        what = (
            'another process of this run did not answer in time (env_cfg.dist_cfg.timeout, in '
            'seconds): look at its machine'
        )
    else:
        return None
    return f'process {get_rank()} of {get_world_size()}: {what}, and {_go_on()}'


def _dead_worker(error: BaseException) -> str | None:
    """Name the worker whose end is the cause, None if it is not.

    The DataLoader says so itself if it looks first; a worker that dies while it hands over a batch
    shows as a broken connection.
    """
    said = WORKER.search(str(error)) or WORKER.search(str(error.__cause__))
    if said is None and not isinstance(error, (ConnectionError, EOFError)):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        workers = getattr(frame.f_locals.get('self'), '_workers', None) or ()
        _wait_for_an_end(workers)
        for worker in workers:
            code = getattr(worker, 'exitcode', None)
            if code:
                how = signal.Signals(-code).name if code < 0 else f'exit status {code}'
                return f'(pid {worker.pid}, {how})'
    return f'(pid {said[1]})' if said else None


def _wait_for_an_end(workers: Sequence) -> None:
    """A connection breaks a moment before its process has ended."""
    ends = time.monotonic() + LONGEST_END
    running = [one for one in workers if hasattr(one, 'exitcode')]
    while running and time.monotonic() < ends:
        if any(one.exitcode for one in running):
            return
        time.sleep(0.02)


def _is_of_distributed(error: RuntimeError) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return 'DistError' in names or any(
        word in str(error).lower() for word in ('gloo', 'nccl', 'distributed', 'processgroup')
    )


def _go_on() -> str:
    last = MessageHub.get_current_instance().runtime_info.get('last_ckpt')
    return 'then continue with --resume' + (f' (from {last})' if last else '')
