# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Watch a training, and kill it at a moment drawn by chance."""

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .small_training import start_training

__all__ = ['Kill', 'Moment', 'draw', 'kill_training', 'run_training']


@dataclass(frozen=True)
class Moment:
    """What a training began to do, and when.

    Attributes:
        phase: loading, training, saving, validation or end.
        epoch: From 1.
        iteration: From 1; 0 where it has none.
        seconds: On the machine's monotonic clock.
    """

    phase: str
    epoch: int
    iteration: int
    seconds: float


@dataclass(frozen=True)
class Kill:
    """Where to kill: ``delay`` seconds after the ``number``-th beginning (from 0) of ``phase``."""

    phase: str
    number: int
    delay: float


def draw(chance: random.Random, phase: str, moments: Sequence[Moment]) -> Kill:
    """A moment of an uninterrupted run, evenly over the beginnings of a phase and its length."""
    pairs = zip(moments, moments[1:], strict=False)
    lengths = [after.seconds - one.seconds for one, after in pairs if one.phase == phase]
    number = chance.randrange(len(lengths))
    return Kill(phase, number, chance.uniform(0, lengths[number]))


def run_training(config: Path, work_dir: Path, *options: str) -> tuple[int, list[Moment]]:
    """Run a training to its end; its exit status and moments."""
    child, reader = start_training(config, work_dir, *options)
    with os.fdopen(reader) as pipe:
        moments = [_read(line) for line in pipe]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), moments


def kill_training(config: Path, work_dir: Path, kill: Kill) -> tuple[int, list[Moment], float]:
    """Run a training until its kill.

    Returns:
        The exit status (-9 if the kill has hit), the moments until then, and the time of the kill
        on the clock of the moments.
    """
    child, reader = start_training(config, work_dir)
    moments: list[Moment] = []
    killed, count = 0.0, 0
    with os.fdopen(reader) as pipe:
        for line in pipe:
            moments.append(_read(line))
            if killed or moments[-1].phase != kill.phase:
                continue
            if count == kill.number:
                time.sleep(max(0.0, moments[-1].seconds + kill.delay - time.monotonic()))
                killed = time.monotonic()
                os.kill(child, signal.SIGKILL)
            count += 1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), moments, killed


def _read(line: str) -> Moment:
    phase, epoch, iteration, seconds = line.split()
    return Moment(phase, int(epoch), int(iteration), float(seconds))
