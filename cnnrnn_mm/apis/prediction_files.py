# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Predictions in a file: JSON lines or CSV."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..datasets.label_table import write_whole
from ..errors import UsageError

__all__ = ['COLUMNS', 'check_prediction_file', 'write_predictions']

SUFFIXES = ('.jsonl', '.csv')
SEPARATOR = ';'
#: Of a CSV file; ``CsvMultiLabel`` reads the first two as a dataset.
COLUMNS = (
    'path',
    'labels',
    'step_probs',
    'path_prob',
    'set_prob_lower',
    'set_prob_upper',
    'proven',
    'gap',
    'marginals',
    'width',
    'height',
    'error',
)


def check_prediction_file(path: str | Path, classes: Sequence[str]) -> None:
    """Raise ``UsageError`` where predictions of these classes can't be written to ``path``."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f'{path} ends neither in .jsonl nor in .csv: name it after its format')
    clash = [name for name in classes if SEPARATOR in name]
    if suffix == '.csv' and clash:
        raise UsageError(
            f'class {clash[0]!r} holds a {SEPARATOR!r}, which separates labels in CSV: write .jsonl'
        )


def write_predictions(path: str | Path, records: Iterable[dict[str, Any]]) -> None:
    """Write records as they come, and put the file in place behind the last one.

    A file that was there stays until then; nothing half-written is left behind.

    Args:
        path: ``*.jsonl``: a record a line. ``*.csv``: a photo a line, with :data:`COLUMNS`; labels,
            step probabilities and marginals (``name=score``) are separated by semicolons.
        records: What :class:`MultiLabelInferencer` gives.

    Raises:
        UsageError: If the file can't be written.
    """
    write = _write_csv if Path(path).suffix.lower() == '.csv' else _write_lines

    def fill(unfinished: Path) -> None:
        # What a file's name holds that is no UTF-8 is escaped; JSON reads that back.
        with open(unfinished, 'w', encoding='utf-8', errors='backslashreplace', newline='') as file:
            write(file, records)

    write_whole(path, fill)


def _write_lines(file: TextIO, records: Iterable[dict]) -> None:
    for record in records:
        file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + '\n')


def _write_csv(file: TextIO, records: Iterable[dict]) -> None:
    writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(map(_row, records))


def _row(record: dict) -> dict[str, Any]:
    """The cells of a photo; what it has not stays empty."""
    if 'error' in record:
        return {'path': record['photo'], 'error': record['error']}
    bounds = record['set_prob'] or (None, None)
    marginals = (f'{one["label"]}={one["score"]:.6g}' for one in record['marginals'])
    return {
        'path': record['photo'],
        'labels': SEPARATOR.join(record['labels']),
        'step_probs': SEPARATOR.join(f'{one:.6g}' for one in record['step_probs'] or ()),
        'path_prob': record['path_prob'],
        'set_prob_lower': bounds[0],
        'set_prob_upper': bounds[1],
        'proven': record['proven'],
        'gap': record['gap'],
        'marginals': SEPARATOR.join(marginals),
        'width': record['size'][0],
        'height': record['size'][1],
    }
