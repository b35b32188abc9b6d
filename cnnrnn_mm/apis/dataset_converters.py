# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the tools in ``tools/dataset_converters/`` share behind their readers."""

from collections import Counter
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..datasets.label_table import LabelTable
from ..errors import UsageError

__all__ = ['check_out', 'convert']


def check_out(out: str | Path, *sources: str | Path) -> Path:
    """The file to write; call it before a long read.

    Args:
        out: What the user named.
        sources: Files that are read: none may be overwritten.

    Raises:
        UsageError: If ``out`` is a folder, not a ``.json``, or one of ``sources``.
    """
    path = Path(out).expanduser()
    if path.suffix != '.json' or path.is_dir():
        raise UsageError(f'--out {out} is no JSON file: name one such as data/train.json')
    for source in sources:
        if path.resolve() == Path(source).expanduser().resolve():
            raise UsageError(f'--out {out} is the file that is read: name another')
    return path


def convert(table: LabelTable, out: str | Path, console: Console | None = None) -> None:
    """Write a table as the JSON file of the host's ``MultiLabelDataset`` and print what is in it.

    Args:
        table: What a reader gave.
        out: The file, ending in ``.json``; replaced in one step where it exists.
        console: Where to print; None for the standard output.

    Raises:
        UsageError: If ``out`` can't be written.
    """
    path = check_out(out, table.source)
    table.save(path)
    (Console() if console is None else console).print(_summary(table, path), soft_wrap=True)


def _summary(table: LabelTable, path: Path) -> Table:
    counts = Counter(chain.from_iterable(table.labels))
    missing = [name for label, name in enumerate(table.classes) if label not in counts]
    rows = [
        ('images', len(table.img_paths)),
        ('images without labels', sum(not ids for ids in table.labels)),
        ('classes', len(table.classes)),
        ('classes without images', _count_and_names(missing)),
        ('labels', counts.total()),
        ('labels an image', f'{counts.total() / len(table.labels):.2f}'),
    ]
    if table.difficult is not None:
        rows.append(('difficult labels', sum(map(len, table.difficult))))
    summary = Table(title=escape(f'{table.source} -> {path}'), show_header=False)
    summary.add_column()
    summary.add_column(justify='right')
    for name, value in rows:
        summary.add_row(name, escape(str(value)))
    return summary


def _count_and_names(names: list[str], shown: int = 5) -> str:
    """As '2: cat, dog' or '7: cat, dog, ...'."""
    if not names:
        return '0'
    tail = ', ...' if len(names) > shown else ''
    return f'{len(names)}: {", ".join(names[:shown])}{tail}'
