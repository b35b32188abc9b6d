# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write what the tools draw and count into a folder."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..datasets.label_table import write_whole
from ..errors import UsageError

__all__ = ['make_out_folder', 'save_figure', 'save_table']

DPI = 130


def make_out_folder(out: str | Path) -> Path:
    """Make a folder for results; call it before a long run.

    Raises:
        UsageError: If it can't be made or written to.
    """
    folder = Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'cannot make the folder {out} ({error.strerror}): name another') from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f'cannot write to the folder {out}: name another')
    return folder


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a PNG, whole or not at all; return its path."""
    write_whole(path, lambda unfinished: figure.savefig(unfinished, format='png', dpi=DPI))
    return Path(path)


def save_table(path: str | Path, header: Sequence[str], rows: Iterable[Sequence]) -> Path:
    """Write a CSV in UTF-8, whole or not at all; return its path. None becomes an empty cell."""

    def write(unfinished: Path) -> None:
        with unfinished.open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(header)
            writer.writerows(rows)

    write_whole(path, write)
    return Path(path)
