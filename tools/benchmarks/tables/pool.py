# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Several runs at a time, with a bar for each."""

import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .runs import Run
from .worker import Report, perform

__all__ = ['Work', 'perform_all']

#: Does a run, in whichever process: ``work(run, about, report) -> record``.
Work = Callable[[Run, dict[str, Any], Report], dict[str, Any]]

#: Seconds between two looks at the progress.
INTERVAL = 0.5
#: Steps between two reports of a run.
STEPS = 10

_messages: Any = None  # in a worker: the queue to the parent


def perform_all(
    runs: Sequence[Run],
    about: dict[str, Any],
    jobs: int,
    threads: int,
    console: Console,
    work: Work = perform,
) -> list[dict[str, Any]]:
    """Perform runs, and go on with the others where one fails.

    Args:
        runs: The runs.
        about: For the records of what is made now.
        jobs: Runs at a time; 1 for all of them in this process.
        threads: Of torch, for each.
        console: For the progress.
        work: What is done with each; to be found by its name in another process.

    Returns:
        The record of each run.
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        bars = _Bars(progress, runs)
        make = _one_by_one if jobs == 1 else _side_by_side
        records: list[dict[str, Any]] = [{} for _ in runs]
        for number, record in make(work, runs, about, jobs, threads, bars):
            records[number] = record
            bars.end(number, record)
    return records


def _one_by_one(
    work: Work, runs: Sequence[Run], about: dict, _: int, threads: int, bars: '_Bars'
) -> Iterator[tuple[int, dict]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for number, run in enumerate(runs):

            def report(step: int, total: int, number: int = number) -> None:
                bars.move(number, step, total)

            yield number, work(run, about, report)
    finally:
        torch.set_num_threads(before)


def _side_by_side(
    work: Work, runs: Sequence[Run], about: dict, jobs: int, threads: int, bars: '_Bars'
) -> Iterator[tuple[int, dict]]:
    context = multiprocessing.get_context('spawn')
    messages = context.Queue()
    with ProcessPoolExecutor(
        min(jobs, len(runs)) or 1, context, _start_worker, (messages, threads)
    ) as pool:
        futures: dict[Future, int] = {
            pool.submit(_perform, work, number, run, about): number
            for number, run in enumerate(runs)
        }
        left = set(futures)
        while left:
            ended, left = wait(left, INTERVAL, FIRST_COMPLETED)
            with suppress(queue.Empty):
                while True:
                    bars.move(*messages.get_nowait())
            for one in ended:
                yield futures[one], _result(one)


def _result(future: Future) -> dict[str, Any]:
    try:
        return future.result()
    except BrokenProcessPool:
        return {'error': 'its process was ended from outside, or ran out of memory: try --jobs 1'}


def _start_worker(messages: Any, threads: int) -> None:
    global _messages
    _messages = messages
    torch.set_num_threads(threads)


def _perform(work: Work, number: int, run: Run, about: dict[str, Any]) -> dict[str, Any]:
    def report(step: int, total: int) -> None:
        if step % STEPS == 0 or step == total:
            _messages.put((number, step, total))

    return work(run, about, report)


class _Bars:
    """A bar for all runs, and one for each that is under way."""

    def __init__(self, progress: Progress, runs: Sequence[Run]) -> None:
        self.progress, self.runs = progress, runs
        self.all = progress.add_task('all runs', total=len(runs))
        self.single: dict[int, Any] = {}
        self.ended: set[int] = set()

    def move(self, number: int, step: int, total: int) -> None:
        if number in self.ended:  # the last messages may come behind the result
            return
        if number not in self.single:
            self.single[number] = self.progress.add_task(self.runs[number].name, total=total)
        self.progress.update(self.single[number], completed=step)

    def end(self, number: int, record: dict[str, Any]) -> None:
        self.ended.add(number)
        if number in self.single:
            self.progress.remove_task(self.single.pop(number))
        self.progress.advance(self.all)
        if 'error' in record:
            self.progress.console.print(
                f'{self.runs[number].name} failed: {record["error"]}', markup=False, soft_wrap=True
            )
