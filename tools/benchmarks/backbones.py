# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Try every backbone family that MMPretrain registers: loss, backward and predict.

A small member of each, with random weights and images, in front of CNNRNNHead and, where it gives a
map, of RLSDHead. Each family runs in a process of its own. The exit status is 1 if something fails
that works in the kept table, or if a family of MMPretrain is missing here.
"""

import argparse
import difflib
import json
import logging
import resource
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from backbone_matrix.checks import Outcome, check_family
from backbone_matrix.families import FAMILIES, registered_families
from backbone_matrix.family import Family
from backbone_matrix.isolation import LostProcessError, call_apart
from backbone_matrix.kept_table import check_replaceable, read_kept, write_tables
from backbone_matrix.table_rows import failures, find_losses, table_rows
from machine import describe_run
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.errors import UsageError

KEPT = Path(__file__).resolve().parents[2] / 'docs' / 'backbones.md'
SHOWN = ('Family', 'It gives', 'in_channels', 'CNNRNNHead', 'RLSDHead', 'Other forms', 'Idle')
UNKNOWN = Family(channels=0)
TABLE_WIDTH = 140  # for rows on one line, whatever the terminal


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--families', nargs='+', metavar='NAME', help='class names of backbones (all)')
    add('--out', type=Path, metavar='FILE.md', help='write the table there, between its marks')
    add('--json', action='store_true', help='print everything as JSON instead of a table')
    add('--kept', type=Path, default=KEPT, help='the table to compare with (docs/backbones.md)')
    add('--timeout', type=float, default=600, help='seconds for a family (%(default)s)')
    args = parser.parse_args(arguments)
    if args.timeout <= 0:
        parser.error('--timeout is above 0')
    return args


def choose(names: Sequence[str] | None, registered: Sequence[str]) -> list[str]:
    """The families to run.

    Raises:
        UsageError: If a name is none of them.
    """
    if names is None:
        return list(registered)
    for name in names:
        if name not in registered:
            close = difflib.get_close_matches(name, registered, 3, 0.5) or registered[:3]
            raise UsageError(
                f'--families: MMPretrain registers no backbone {name!r}: choose from '
                f'{", ".join(close)}, ...'
            )
    return list(dict.fromkeys(names))


def try_families(names: Sequence[str], timeout: float) -> Iterator[tuple[str, list[Outcome]]]:
    """What came of each, of those that the matrix does not know and of lost processes, too."""
    for name in names:
        family = FAMILIES.get(name, UNKNOWN)
        try:
            if family is UNKNOWN:
                raise LostProcessError('no small member of it stands in backbone_matrix')
            yield name, call_apart(check_family, name, family, timeout=timeout)
        except LostProcessError as error:
            heads = ['CNNRNNHead'] + ['RLSDHead'] * (family.map is not None)
            yield name, [Outcome(head, {}, family.channels, error=str(error)) for head in heads]


def print_table(console: Console, rows: Sequence[dict], outcomes: dict) -> None:
    """The rows, then the first line of each failure."""
    table = Table(box=SIMPLE_HEAD)
    for column in SHOWN:
        table.add_column(column, overflow='fold')
    for row in rows:
        table.add_row(*(row[column] for column in SHOWN))
    console.print(table, markup=False)
    for name, what, where, error in failures(outcomes):
        said = f'{name}, {what}: {error}' + (f' ({where})' if where else '')
        console.print(said, markup=False, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; the exit status."""
    args = parse_args(arguments)
    names = choose(args.families, registered_families())
    kept = read_kept(args.kept)
    if not kept:
        sys.stderr.write(f'{args.kept} has no table to compare with\n')
    if args.out is not None:
        check_replaceable(args.out, names)
    begin, progress = time.perf_counter(), Console(stderr=True)
    outcomes = dict(
        track(
            try_families(names, args.timeout),
            'families',
            len(names),
            console=progress,
            disable=not progress.is_terminal,
        )
    )
    rows = table_rows({name: FAMILIES.get(name, UNKNOWN) for name in names}, outcomes)
    through = sum(found[0].works for found in outcomes.values())
    about = describe_run(torch.device('cpu'))
    words = [] if args.families is None else ['--families', *names]
    about['command'] = shlex.join(['python', 'tools/benchmarks/backbones.py', *words])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = dict(
        families=len(names),
        work=through,
        seconds=round(time.perf_counter() - begin),
        cpu_seconds=round(used.ru_utime + used.ru_stime),
        largest_child_mib=round(used.ru_maxrss / 1024),
        losses=find_losses(kept, rows),
        unknown=[name for name in names if name not in FAMILIES],
    )
    if args.out is not None:
        write_tables(args.out, rows, outcomes, sentence(about, summary))
    if args.json:
        found = {name: [asdict(one) for one in of_one] for name, of_one in outcomes.items()}
        sys.stdout.write(json.dumps(dict(**about, **summary, outcomes=found), indent=1) + '\n')
    else:
        console = Console(width=max(TABLE_WIDTH, Console().width))
        print_table(console, rows, outcomes)
        console.print(sentence(about, summary), markup=False, soft_wrap=True)
    for loss in summary['losses']:
        sys.stderr.write(f'worked in {args.kept.name} and fails now: {loss}\n')
    for name in summary['unknown']:
        sys.stderr.write(f'{name} is registered and not in backbone_matrix: add it there\n')
    return int(bool(summary['losses'] or summary['unknown']))


def sentence(about: dict, summary: dict) -> str:
    """What was run, when and on what."""
    versions = ', '.join(f'{name} {about["versions"][name]}' for name in ('torch', 'mmpretrain'))
    return (
        f'{summary["work"]} of {summary["families"]} families work. `{about["command"]}`, '
        f'{about["date"][:10]}, {versions}, CPU; {summary["cpu_seconds"]} s of CPU time, at most '
        f'{summary["largest_child_mib"]} MiB a process.'
    )


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    with report_usage_errors():
        sys.exit(main())
