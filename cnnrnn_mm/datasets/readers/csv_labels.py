# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from a CSV file of image paths and label names."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ..class_list import class_list
from ..label_checks import suggestion
from ..label_table import LabelTable
from .csv_file import CsvFile, CsvLayout, load_csv_file

__all__ = ['read_csv']


def read_csv(
    path: str | Path,
    classes: Sequence[str] | str | None = None,
    classes_from: str | Path | None = None,
    layout: CsvLayout | None = None,
) -> LabelTable:
    """Read which labels each image has.

    Args:
        path: The file.
        classes: The classes in the order of their ids, or a file with one a line.
        classes_from: A CSV file of the same layout, usually the training split, whose labels are
            the classes. Without this and ``classes``, it is ``path`` itself. Their order is
            alphabetical (by code point), with ``one_hot`` that of the columns.
        layout: How the file is laid out; None for the defaults.

    Returns:
        The images in the file's order, numbered by their lines.

    Raises:
        UsageError: If both or unusable classes are given, or a line is wrong.
    """
    layout = CsvLayout() if layout is None else layout
    if classes is not None and classes_from is not None:
        raise UsageError('the classes are given twice, by name and by classes_from: give one')
    file = load_csv_file(path, layout)
    if classes is None:
        source = file if classes_from is None else load_csv_file(classes_from, layout)
        names, origin = _collect(source, layout), source.path
    else:
        names, origin = class_list(classes), 'the class list'
        _check_expressible(names, layout)
    ids = {name: label for label, name in enumerate(names)}
    for name in file.columns if file.columns is not None else ():
        if name not in ids:
            raise _unknown(f'{file.path}, line 1', name, ids, origin)
    label_sets: dict[tuple[str, ...], tuple[int, ...]] = {}  # many images share one
    for row in file.rows:
        if row.names not in label_sets:
            for name in row.names:
                if name not in ids:
                    raise _unknown(f'{file.path}, line {row.line}', name, ids, origin)
            label_sets[row.names] = tuple(sorted(ids[name] for name in row.names))
    return LabelTable(
        source=file.path,
        classes=names,
        img_paths=[row.path for row in file.rows],
        labels=[label_sets[row.names] for row in file.rows],
        numbers=[row.line for row in file.rows],
        counted='line',
    )


def _collect(file: CsvFile, layout: CsvLayout) -> tuple[str, ...]:
    """The labels of a file, as classes."""
    if file.columns is not None:
        return file.columns
    names: set[str] = set()
    for row in file.rows:
        for name in row.names:
            # Most often it separates labels; taken as it is, each label set would be a class.
            if ',' in name:
                raise UsageError(
                    f'{file.path}, line {row.line} has the label {name!r}, with a comma: separate '
                    f"labels by {layout.separator!r}, or give separator=',', or name the classes "
                    'in a class list if the comma belongs to the name'
                )
        names.update(row.names)
    if not names:
        raise UsageError(f'{file.path} has no label: give the classes by name')
    return tuple(sorted(names))


def _check_expressible(names: Sequence[str], layout: CsvLayout) -> None:
    for name in names:
        if not layout.one_hot and layout.separator in name:
            raise UsageError(
                f'class {name!r} holds the separator {layout.separator!r}: choose another by '
                'separator=...'
            )


def _unknown(place: str, name: str, known: dict[str, int], origin: str) -> UsageError:
    return UsageError(
        f'{place} has the label {name!r}, which is not in {origin}: {suggestion(name, known)}'
    )
