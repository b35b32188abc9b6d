# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The rows of a CSV file of images and labels, each with its line number."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ..label_checks import check_class_names

__all__ = ['CsvFile', 'CsvLayout', 'CsvRow', 'load_csv_file']


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV file is laid out.

    Attributes:
        separator: Between the labels in a cell.
        delimiter: Between cells, one character.
        header: Whether the first line names the columns. Without, they are path and labels.
        path_column: Name of the column of image paths.
        labels_column: Name of the column of labels.
        one_hot: Whether, instead of a column of labels, each column but that of the paths is a
            class and holds 0 or 1.
        encoding: Of the text; a byte order mark of UTF-8 is passed over.

    Raises:
        UsageError: If a value can't be used.
    """

    separator: str = ';'
    delimiter: str = ','
    header: bool = True
    path_column: str = 'path'
    labels_column: str = 'labels'
    one_hot: bool = False
    encoding: str = 'utf-8'

    def __post_init__(self) -> None:
        if not isinstance(self.separator, str) or not self.separator.strip():
            raise UsageError(f"separator={self.separator!r}: give a visible one, such as ';'")
        if not isinstance(self.delimiter, str) or len(self.delimiter) != 1:
            raise UsageError(f"delimiter={self.delimiter!r}: give one character, such as ','")
        if self.one_hot and not self.header:
            raise UsageError('one_hot=True needs header=True: the first line names the classes')
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise UsageError(
                f"encoding={self.encoding!r} is unknown: give one such as 'utf-8' or 'latin-1'"
            ) from None


class CsvRow(NamedTuple):
    """One image: the number of its first line, its path, and its label names as written."""

    line: int
    path: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class CsvFile:
    """What was read: the file, its images and, with ``one_hot``, the classes in its header."""

    path: str
    rows: list[CsvRow]
    columns: tuple[str, ...] | None


def load_csv_file(path: str | Path, layout: CsvLayout) -> CsvFile:
    """Read a file. Blank lines are passed over; spaces around paths and names do not count.

    Raises:
        UsageError: If the file can't be read, or a line does not fit the layout.
    """
    path = str(Path(path).expanduser())
    lines = _lines(path, _text(path, layout), layout)
    width, path_cell, label_cells, columns = 2, 0, [1], None
    if layout.header:
        _, cells = next(lines, (1, None))
        if cells is None:
            raise UsageError(f'{path} is empty: its first line must name the columns')
        header = [cell.strip() for cell in cells]
        width, path_cell = len(header), _column(path, header, layout.path_column, 'path_column')
        if layout.one_hot:
            label_cells = [cell for cell in range(width) if cell != path_cell]
            columns = tuple(header[cell] for cell in label_cells)
            check_class_names(columns, f'{path}, line 1')
        else:
            label_cells = [_column(path, header, layout.labels_column, 'labels_column')]
    rows = []
    names_of: dict[tuple[str, ...], tuple[str, ...]] = {}  # many images share a label set
    for line, cells in lines:
        if len(cells) != width:
            raise UsageError(
                f'{path}, line {line} has {len(cells)} cells instead of {width}: separate labels '
                f'by {layout.separator!r} and put a cell that holds {layout.delimiter!r} in quotes'
            )
        given = tuple(cells[cell] for cell in label_cells)
        names = names_of.get(given)
        if names is None:
            if columns is None:
                names = _names(path, line, given[0].strip(), layout)
            else:
                names = _marked(path, line, given, columns)
            names_of[given] = names
        rows.append(CsvRow(line, cells[path_cell].strip(), names))
    if not rows:
        raise UsageError(f'{path} lists no image: an empty split can not be used')
    if not layout.header and [rows[0].path, *rows[0].names] == ['path', 'labels']:
        raise UsageError(f'{path}, line 1 names the columns: leave out header=False')
    return CsvFile(path, rows, columns)


def _text(path: str, layout: CsvLayout) -> str:
    encoding = codecs.lookup(layout.encoding).name
    try:
        return Path(path).read_bytes().decode('utf-8-sig' if encoding == 'utf-8' else encoding)
    except OSError as error:
        raise UsageError(
            f'{path} cannot be read ({error.strerror}): give a CSV file of paths and labels'
        ) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(error.encoding, errors='replace')
        line = len(re.findall('\r\n|\r|\n', before)) + 1
        raise UsageError(
            f'{path}, line {line} is no {layout.encoding} text: save the file as UTF-8 or give its '
            "encoding, such as encoding='latin-1'"
        ) from None


def _lines(path: str, text: str, layout: CsvLayout) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, and the number of its first line."""
    if '\0' in text:
        # csv of Python 3.10 refuses it with other words, that of 3.11 takes it.
        line = len(re.findall('\r\n|\r|\n', text.partition('\0')[0])) + 1
        raise UsageError(f'{path}, line {line} has a NUL byte: save the file as plain text')
    reader = csv.reader(
        io.StringIO(text, newline=''),
        delimiter=layout.delimiter,
        skipinitialspace=True,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UsageError(
                f'{path}, line {line} is no CSV ({error}): check its quotes; one inside a quoted '
                'cell is written twice'
            ) from None
        if cells is None:
            return
        if len(cells) > 1 or any(cell.strip() for cell in cells):
            yield line, cells


def _column(path: str, header: list[str], name: str, argument: str) -> int:
    if header.count(name) != 1:
        raise UsageError(
            f'{path}, line 1 names the column {name!r} {header.count(name)} times: its columns are '
            f'{", ".join(header)}; name the one that is meant in {argument}, or give header=False '
            'if line 1 is an image already'
        )
    return header.index(name)


def _names(path: str, line: int, cell: str, layout: CsvLayout) -> tuple[str, ...]:
    if not cell:
        return ()
    names = tuple(name.strip() for name in cell.split(layout.separator))
    if '' in names:
        raise UsageError(
            f'{path}, line {line} has an empty label in {cell!r}: remove the extra '
            f'{layout.separator!r}'
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f'{path}, line {line} has the label {twice!r} twice: list it once')
    return names


def _marked(
    path: str, line: int, cells: tuple[str, ...], columns: tuple[str, ...]
) -> tuple[str, ...]:
    marks = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    for name, mark in marks.items():
        if mark not in ('0', '1'):
            raise UsageError(f'{path}, line {line} has {mark!r} for class {name!r}: write 0 or 1')
    return tuple(name for name, mark in marks.items() if mark == '1')
