# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One bad input: how it is made, the tool that meets it, and what the tool says."""

import contextlib
import io
import os
import re
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from mmengine.registry import DefaultScope
from tiny_run import ROOT

from .good_run import GoodRun

__all__ = ['Case', 'Outcome', 'run_case']

#: Seconds after which a tool counts as hung, on a machine that is busy with other things.
LIMIT = 300


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        area: 'config', 'annotation', 'image', 'checkpoint' or 'command line'.
        name: What is wrong, in a few words.
        tool: The script below tools/ that is run.
        make: Given a good run and an empty folder, writes the bad input there and returns the
            tool's arguments.
        says: Words that the message has to hold: the bad value, or the file that has it.
        status: The exit status that is right.
    """

    area: str
    name: str
    tool: str
    make: Callable[[GoodRun, Path], list]
    says: str
    status: int = 2


@dataclass(frozen=True)
class Outcome:
    """What a tool did.

    Attributes:
        status: Its exit status; 1 where an exception came out of it.
        message: The last line on the error stream, without ``error: ``; paths are those below the
            case's folder.
        errors: Lines on the error stream that begin with ``error: `` or ``passed over: ``.
        crashed: The traceback, where an exception came out of the tool.
        left: Files that it wrote, logs excepted.
    """

    status: int
    message: str
    errors: list[str]
    crashed: str
    left: list[str]


def run_case(case: Case, run: GoodRun, here: Path) -> Outcome:
    """Make the bad input in the folder ``here`` and run the tool on it, in this process."""
    here.mkdir(parents=True)
    words = [str(word) for word in case.make(run, here)]
    before = set(_files(here))
    said, crashed, status = io.StringIO(), '', 0
    with (
        _in_folder(here),
        _limited(),
        mock.patch.object(sys, 'argv', [case.tool, *words]),
        mock.patch.dict(DefaultScope._instance_dict, clear=True),
        mock.patch.dict(os.environ, COLUMNS='10000'),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        try:
            runpy.run_path(str(ROOT / 'tools' / case.tool), run_name='__main__')
        except SystemExit as ending:
            status = 0 if ending.code is None else ending.code
        except Exception:  # noqa: BLE001 - whatever comes out is what is looked for
            status, crashed = 1, traceback.format_exc()
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    said_last = (crashed.strip().splitlines() or lines or ['nothing'])[-1]
    message = re.sub(r'^(\S+\.py: )?(error|passed over): ', '', said_last)
    errors = [line for line in lines if re.match(r'(\S+\.py: )?(error|passed over): ', line)]
    left = sorted(set(_files(here)) - before)
    return Outcome(status, _neutral(message, run, here), errors, crashed, left)


def _files(folder: Path) -> Iterator[str]:
    """Files and folders below a folder; of a run's folder, its checkpoints alone."""
    for path in folder.rglob('*'):
        name = path.relative_to(folder).as_posix()
        if not name.startswith('work') or name.endswith('.pth'):
            yield name


def _neutral(message: str, run: GoodRun, here: Path) -> str:
    """A message without what differs between machines and runs."""
    for folder, name in ((here, ''), (run.root, 'good'), (ROOT, 'cnnrnn_mm')):
        message = message.replace(f'{folder}/', f'{name}/' if name else '')
        message = message.replace(str(folder), name or '.')
    message = re.sub(r'\b0x[0-9a-f]{6,}\b', '0x...', message)
    return re.sub(r'\(\d+ bytes\)', '(N bytes)', message)


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Ends what runs for too long."""

    def stop(*_: object) -> None:
        raise TimeoutError(f'it runs for {LIMIT} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
