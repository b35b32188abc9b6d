# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The table of docs/bad_input.md: written from the cases, and read back."""

import platform
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmengine
import numpy as np
import PIL
import torch
from tiny_run import ROOT

from .case import Case, Outcome

__all__ = ['DOC', 'READ', 'Row', 'as_row', 'read_table', 'versions', 'write_table']

DOC = ROOT / 'docs' / 'bad_input.md'
#: What is said where nothing is wrong.
READ = 'nothing'
TITLES = {
    'config': 'Configs',
    'annotation': 'Annotations',
    'image': 'Photos',
    'checkpoint': 'Checkpoints',
    'command line': 'Command lines',
}
START, END = '<!-- table: begin -->', '<!-- table: end -->'
#: What is tried, the tool, its exit status and its message.
Row = tuple[str, str, str, str]


def versions() -> str:
    """What the wording of some messages depends on."""
    modules = (torch, mmengine, np, PIL, cv2)
    found = [f'{one.__name__} {one.__version__.partition("+")[0]}' for one in modules]
    return f'Python {platform.python_version().rpartition(".")[0]}, {", ".join(found)}'


def as_row(case: Case, outcome: Outcome) -> Row:
    """A row as it stands in the file."""
    said = 'read as any other' if outcome.message == READ else f'`{_plain(outcome.message)}`'
    return _plain(case.name), f'`{case.tool}`', str(outcome.status), said


def write_table(cases: Sequence[Case], outcomes: Sequence[Outcome], doc: Path = DOC) -> None:
    """Put the tables in place of those in the file; its other text stays."""
    lines = [START, '', f'{len(cases)} inputs; messages as of {versions()}.', '']
    for area, title in TITLES.items():
        rows = [as_row(*two) for two in zip(cases, outcomes, strict=True) if two[0].area == area]
        lines += [f'### {title} ({len(rows)})', '', '| input | tool | exit | message |']
        lines += ['| --- | --- | --- | --- |', *(f'| {" | ".join(row)} |' for row in rows), '']
    before, _, rest = doc.read_text(encoding='utf-8').partition(START)
    text = f'{before}{chr(10).join(lines)}\n{END}{rest.partition(END)[2]}'
    doc.write_text(text, encoding='utf-8')


def read_table(doc: Path = DOC) -> tuple[str, list[Row]]:
    """The versions that the kept tables were written with, and their rows."""
    text = doc.read_text(encoding='utf-8').partition(START)[2].partition(END)[0]
    found = re.search(r'messages as of (.*)\.\n', text)
    rows = [line for line in text.splitlines() if line.startswith('| ')]
    cells = [tuple(line[2:-2].split(' | ')) for line in rows if not line.startswith('| ---')]
    return found[1] if found else '', [row for row in cells if row[0] != 'input']


def _plain(text: str) -> str:
    """Without what would end a cell or a piece of code."""
    return text.replace('|', '¦').replace('`', "'")
