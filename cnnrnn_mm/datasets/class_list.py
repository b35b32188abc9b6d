# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A choice of classes: names, or a file of names."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from ..errors import UsageError
from .label_checks import check_class_names

__all__ = ['class_list']


@overload
def class_list(classes: Sequence[str] | str | Path) -> tuple[str, ...]: ...
@overload
def class_list(classes: None) -> None: ...
def class_list(classes: Sequence[str] | str | Path | None) -> tuple[str, ...] | None:
    """Names in the order of the class ids.

    Args:
        classes: The names, or a UTF-8 file with one name a line (blank lines are passed over), or
            None for no choice.

    Raises:
        UsageError: If the file can't be read, or a name is empty or comes twice.
    """
    if classes is None:
        return None
    if isinstance(classes, (str, Path)):
        source, classes = f'class list {classes}', _lines(Path(classes).expanduser())
    else:
        source, classes = 'class list', tuple(classes)
    check_class_names(classes, source)
    return classes


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding='utf-8-sig')
    except OSError as error:
        raise UsageError(
            f'class list {path} cannot be read ({error.strerror}): name a file with one class a '
            'line'
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b'\n') + 1
        raise UsageError(f'class list {path}, line {line} is no UTF-8: save it as UTF-8') from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
