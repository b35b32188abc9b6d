# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write beside, then rename: a runner that saves so, and a folder that removes late."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

__all__ = ['LAST', 'AtomicSaves', 'LateRemovals', 'leftovers', 'remove', 'temporary']

#: The file in which the host keeps the path of the newest checkpoint.
LAST = 'last_checkpoint'
PREFIX, SUFFIX = '.', '.saving'


class LateRemovals(LocalBackend):
    """A local folder whose removals wait in ``pending`` until :meth:`carry_out`."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Path] = []

    def remove(self, filepath: str | Path) -> None:
        """Remove a file, later."""
        self.pending.append(Path(filepath))

    def rmtree(self, dir_path: str | Path) -> None:
        """Remove a folder, later."""
        self.pending.append(Path(dir_path))

    def carry_out(self, written: list[Path]) -> None:
        """Remove them now, but for names that were written anew."""
        for path in self.pending:
            if path not in written:
                remove(path)
        self.pending.clear()


class AtomicSaves:
    """A runner as a checkpoint hook sees it, whose files appear whole or not at all.

    Args:
        runner: The true runner, which does everything else.
        before_save: Called before each save; what it stores in the runner is saved with it.

    Attributes:
        written: The checkpoints that were saved.
    """

    def __init__(self, runner: Any, before_save: Callable[[], None]) -> None:
        self._runner = runner
        self._before_save = before_save
        self._staging = temporary(Path(runner.work_dir, LAST))
        self.written: list[Path] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    @property
    def work_dir(self) -> str:
        """Where the host's hook writes ``last_checkpoint``; see :meth:`name_last`."""
        return str(self._staging)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **options: Any) -> None:
        """The runner's method of this name, in two steps.

        Raises:
            OSError: If the file can not be written; nothing of it stays.
        """
        path = Path(out_dir, filename)
        part = temporary(path)
        self._before_save()
        try:
            self._runner.save_checkpoint(out_dir, part.name, *args, **options)
            if not isinstance(self._runner, Runner):  # sharded: each process writes its part
                barrier()
            if is_main_process():
                put_in_place(part, path)
        except OSError:
            remove(part)
            raise
        self.written.append(path)

    def stage_last(self) -> None:
        """Make the folder in which the host's hook is to write ``last_checkpoint``."""
        if is_main_process():
            remove(self._staging)
            self._staging.mkdir(parents=True)

    def name_last(self) -> None:
        """Put the ``last_checkpoint`` that the host's hook has written in its place.

        Raises:
            OSError: If it can not be written; the one before stays.
        """
        if is_main_process():
            put_in_place(self._staging / LAST, Path(self._runner.work_dir, LAST))

    def clear_stage(self) -> None:
        """Remove that folder."""
        if is_main_process():
            remove(self._staging)


def temporary(path: Path) -> Path:
    """The name beside ``path`` under which it is written."""
    return path.with_name(f'{PREFIX}{path.name}{SUFFIX}')


def leftovers(folder: str | Path) -> list[Path]:
    """What saves that were cut off have left in ``folder``."""
    return sorted(Path(folder).glob(f'{PREFIX}*{SUFFIX}'))


def remove(path: Path) -> None:
    """Remove a file or a folder (sharded checkpoints are folders), if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put_in_place(part: Path, path: Path) -> None:
    """Bring ``part`` to the disk, rename it to ``path``, and bring the new name to the disk."""
    for inner in (part, *(part.rglob('*') if part.is_dir() else ())):
        _sync(inner)
    if path.is_dir():  # a folder can not replace one that holds files
        remove(path)
    os.replace(part, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
