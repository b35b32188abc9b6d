# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A virtual environment of its own, and commands run in it, away from the source."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .outcomes import StepError

__all__ = ['Environment']

#: Variables that could let the source, or the user's own packages, into the environment.
LEAKS = ('PYTHONPATH', 'PYTHONHOME', 'PYTHONSTARTUP', 'VIRTUAL_ENV')


class Environment:
    """A virtual environment, and the folder that its commands run in.

    Args:
        folder: ``venv``, ``run`` and ``logs`` are made below it.
        threads: ``OMP_NUM_THREADS`` of every command.

    Attributes:
        python: Its interpreter.
        mim: The installed folder with ``configs`` and ``tools``; set when it is found.
    """

    mim: Path

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.python = folder / 'venv' / 'bin' / 'python'
        self.cwd = folder / 'run'
        self.logs = folder / 'logs'
        for made in (self.cwd, self.logs):
            made.mkdir(parents=True, exist_ok=True)
        self.variables = {name: value for name, value in os.environ.items() if name not in LEAKS}
        self.variables |= {
            'PYTHONNOUSERSITE': '1',
            'PIP_DISABLE_PIP_VERSION_CHECK': '1',
            'OMP_NUM_THREADS': str(threads),
            'COLUMNS': '120',
        }

    def create(self, python: str) -> None:
        """Make it, empty but for pip, with the interpreter ``python``.

        Raises:
            StepError: If that fails.
        """
        self._run('venv', [python, '-m', 'venv', '--clear', self.folder / 'venv'])

    def install(self, requirements: Sequence[str], *options: object) -> None:
        """``pip install``; the options come first.

        Raises:
            StepError: If that fails.
        """
        self.run('install', '-m', 'pip', 'install', *options, *requirements)

    def run(
        self, name: str, *words: object, cwd: Path | None = None, accept: Sequence[int] = (0,)
    ) -> str:
        """Run ``python WORDS`` in the environment; what it prints goes to ``logs/NAME.txt``.

        Args:
            name: Of the log.
            *words: Arguments of python.
            cwd: Where it runs; the folder ``run`` if None.
            accept: Exit statuses that are no failure.

        Returns:
            What it printed, both streams together.

        Raises:
            StepError: With any other status; the message is the last line, then the log's end.
        """
        return self._run(name, [self.python, *words], cwd, accept)

    def _run(
        self,
        name: str,
        command: Sequence[object],
        cwd: Path | None = None,
        accept: Sequence[int] = (0,),
    ) -> str:
        log = self.logs / f'{name}.txt'
        with log.open('w', encoding='utf-8') as stream:
            status = subprocess.run(
                [str(word) for word in command],
                cwd=cwd or self.cwd,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            ).returncode
        said = log.read_text(encoding='utf-8', errors='replace')
        if status not in accept:
            lines = said.strip().splitlines() or ['it printed nothing']
            raise StepError('\n'.join([f'exit status {status}: {lines[-1]}', *lines[-40:]]))
        return said
