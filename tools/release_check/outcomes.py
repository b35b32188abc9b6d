# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Steps in turn, what each gave, and the table of all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

__all__ = ['Outcome', 'Step', 'StepError', 'exit_status', 'outcome_table', 'run_steps']


class StepError(Exception):
    """A step that did not give what it should; the message says what it gave."""


@dataclass(frozen=True)
class Step:
    """One thing to try.

    Attributes:
        name: Unique among the steps of a set.
        action: Returns a note of a few words for the table, or raises :class:`StepError`.
        needs: Names of earlier steps without which this one can't be tried.
    """

    name: str
    action: Callable[[], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a step gave.

    Attributes:
        status: ``'ok'``, ``'failed'``, or ``'not run'`` where a step it needs is not ok.
        note: The action's note, the failure's message, or the step that is missing.
    """

    status: str
    note: str


def run_steps(
    steps: Sequence[Step], tell: Callable[[str, Outcome], None] = lambda name, outcome: None
) -> dict[str, Outcome]:
    """Run steps in order; those that need one that is not ok are not run.

    Args:
        steps: What to run.
        tell: Called with the name and the outcome after each step.

    Returns:
        Outcomes by step name. Errors other than :class:`StepError` are the tool's own: raised.
    """
    outcomes: dict[str, Outcome] = {}
    for step in steps:
        missing = [name for name in step.needs if outcomes[name].status != 'ok']
        if missing:
            outcome = Outcome('not run', f'needs {missing[0]}')
        else:
            try:
                outcome = Outcome('ok', step.action())
            except StepError as failure:
                outcome = Outcome('failed', str(failure))
        outcomes[step.name] = outcome
        tell(step.name, outcome)
    return outcomes


def exit_status(sets: Mapping[str, Mapping[str, Outcome]]) -> int:
    """0 if every step of every set is ok, else 1."""
    every = [outcome for outcomes in sets.values() for outcome in outcomes.values()]
    return 0 if every and all(outcome.status == 'ok' for outcome in every) else 1


def outcome_table(sets: Mapping[str, Mapping[str, Outcome]]) -> Table:
    """One row a step, one column a set; a failure shows the first line of its message."""
    table = Table(title='Release check', show_lines=True)
    table.add_column('step', no_wrap=True)
    for name in sets:
        table.add_column(name, overflow='fold')
    names = list(dict.fromkeys(name for outcomes in sets.values() for name in outcomes))
    for name in names:
        table.add_row(name, *(_cell(outcomes.get(name)) for outcomes in sets.values()))
    return table


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ''
    note = escape(outcome.note.partition('\n')[0])
    if outcome.status == 'ok':
        return f'[green]ok[/] {note}'.rstrip()
    colour = 'red' if outcome.status == 'failed' else 'yellow'
    return f'[{colour}]{outcome.status}[/]: {note}'
