# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Text files of zeros and ones, one row a line, read into the positions of the ones.

Axis letters: n rows, C columns, m ones.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ...errors import UsageError

__all__ = ['Indicators', 'read_indicators']

#: Bytes that are parsed at a time; several times as much memory is used.
CHUNK = 4 * 2**20
#: Bytes in which a line must end, so that a huge file without lines is not held in memory.
LONGEST_LINE = 8 * 2**20

WRONG, SPACE, NEWLINE, ZERO, ONE = range(5)
KINDS = np.zeros(256, np.uint8)
KINDS[np.frombuffer(b' \t\r\v\f', np.uint8)] = SPACE
KINDS[ord('\n')], KINDS[ord('0')], KINDS[ord('1')] = NEWLINE, ZERO, ONE


class Indicators(NamedTuple):
    """Where a file has ones, in the order of the file.

    Attributes:
        num_rows: n.
        rows: (m,) int32, ascending.
        columns: (m,) int32, ascending in each row.
    """

    num_rows: int
    rows: np.ndarray
    columns: np.ndarray


def read_indicators(path: str | Path, num_columns: int) -> Indicators:
    """Read such a file in parts, so that its size does not matter.

    Args:
        path: Each line has C digits, apart from each other by spaces or tabs; some may follow
            the last one, and blank lines the last row. Lines may end in CRLF.
        num_columns: C.

    Raises:
        UsageError: If the file can't be read, or a line is something else; the message names it.
    """
    rows: list[np.ndarray] = [np.zeros(0, np.int32)]
    columns: list[np.ndarray] = [np.zeros(0, np.int32)]
    num_lines, num_rows, blank = 0, 0, None
    try:
        with Path(path).open('rb') as file:
            for text in _whole_lines(file):
                digits, per_line = _digits(text)
                filled = per_line > 0
                if digits is None or (per_line[filled] != num_columns).any():
                    raise _wrong_line(path, text, num_lines, num_columns)
                if blank is None and not filled.all():
                    blank = num_lines + int(filled.argmin()) + 1
                ones = np.flatnonzero(digits)
                rows.append((ones // num_columns + num_rows).astype(np.int32))
                columns.append((ones % num_columns).astype(np.int32))
                num_lines += len(filled)
                num_rows += int(filled.sum())
                if blank is not None and num_rows >= blank:
                    raise UsageError(
                        f'{path}, line {blank} is blank, so it is open which images the lines '
                        'below belong to: fetch the file anew'
                    )
    except OSError as error:
        raise UsageError(
            f'{path} cannot be read ({error.strerror}): unpack the official archive there'
        ) from None
    return Indicators(num_rows, np.concatenate(rows), np.concatenate(columns))


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The file in parts of about ``CHUNK`` bytes, each ending in a newline."""
    rest = b''
    while part := file.read(CHUNK):
        part = rest + part
        end = part.rfind(b'\n') + 1
        rest = part[end:]
        if end:
            yield part[:end]
        elif len(rest) >= LONGEST_LINE:  # let it be judged as it is
            yield rest + b'\n'
            rest = b''
    if rest:
        yield rest + b'\n'


def _digits(text: bytes) -> tuple[np.ndarray | None, np.ndarray]:
    """Whether each digit is a one, and how many digits each line has.

    None instead of the first where something else than digits apart from each other is there.
    """
    kinds = KINDS[np.frombuffer(text, np.uint8)]
    digit = kinds >= ZERO
    so_far = np.cumsum(digit, dtype=np.int32)
    per_line = np.diff(so_far[kinds == NEWLINE], prepend=0)
    if (kinds == WRONG).any() or (digit[1:] & digit[:-1]).any():
        return None, per_line
    return kinds[digit] == ONE, per_line


def _wrong_line(path: str | Path, text: bytes, before: int, num_columns: int) -> UsageError:
    """The error for the first line of ``text`` that is wrong; ``before`` lines precede it."""
    for number, line in enumerate(text.split(b'\n'), before + 1):
        entries = line.split()
        wrong = next((entry for entry in entries if entry not in (b'0', b'1')), None)
        if wrong is not None:
            shown = wrong[:20].decode('utf-8', errors='replace')
            return UsageError(
                f'{path}, line {number} has {shown!r} where only 0 and 1 may be: fetch the file '
                'anew'
            )
        if entries and len(entries) != num_columns:
            return UsageError(
                f'{path}, line {number} has {len(entries)} entries instead of {num_columns}: '
                'fetch the file anew'
            )
    raise AssertionError('no line is wrong')
