# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A tool run in a process of its own, without the seconds that importing torch takes.

The process is a fork of a server that has imported torch and MMEngine (see ``tool_server``), but
nothing of MMPretrain or of cnnrnn_mm: what imports those, and when, is as in ``tiny_run.run_tool``.
All forks share the server's seed of ``hash``, so where runs have to be equal, one of them is better
a ``run_tool``.
"""

import gc
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from unittest import mock

from tiny_run import ROOT, environment


def server_context() -> BaseContext:
    """Starts processes that are forks of the server, which runs when this returns."""
    context = multiprocessing.get_context('forkserver')
    with mock.patch.dict(os.environ, environment(), PYTHONWARNINGS='ignore'):
        context.set_forkserver_preload(['tool_server'])
        forkserver.ensure_running()
    return context


class ForkedTool:
    """``python TOOL ARGS``, begun at once.

    Args:
        tool: The script.
        *args: Its arguments.
        cwd: Where it runs; the project's root if None.
        more: Variables added to its environment.
    """

    def __init__(self, tool: Path, *args: object, cwd: Path | None = None, **more: str) -> None:
        self.words = [str(tool), *map(str, args)]
        self.folder = tempfile.TemporaryDirectory()
        variables = {**environment(), **more}
        self.process = server_context().Process(
            target=_run, args=(self.words, self.folder.name, str(cwd or ROOT), variables)
        )
        self.process.start()

    def finish(self, timeout: float = 900) -> subprocess.CompletedProcess:
        """Wait for the end; what ``subprocess.run`` returns.

        Raises:
            subprocess.TimeoutExpired: If it still runs after ``timeout`` seconds; it is killed.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise subprocess.TimeoutExpired(self.words, timeout)
        with self.folder as folder:
            said = [(Path(folder) / name).read_text() for name in ('stdout', 'stderr')]
        return subprocess.CompletedProcess(self.words, self.process.exitcode, *said)


def run_forked(tool: Path, *args: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a tool to its end in a fork; as ``tiny_run.run_tool``."""
    return ForkedTool(tool, *args, cwd=cwd).finish()


def _run(words: list[str], folder: str, cwd: str, variables: dict[str, str]) -> None:
    """What the fork does."""
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        handle = os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    assert 'tool_server' in sys.modules, 'the server could not import it'
    known = [name for name in sys.modules if name.startswith(('mmpretrain', 'cnnrnn_mm'))]
    assert not known, f'imported too early: {known}'
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    # As in a terminal; the shell of a run in the background has it ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).resolve().parent))
    gc.freeze()  # the server's imports are no garbage
    # A new process draws its own numbers where no seed is set.
    random.seed()
    sys.modules['numpy'].random.seed()
    runpy.run_path(words[0], run_name='__main__')
