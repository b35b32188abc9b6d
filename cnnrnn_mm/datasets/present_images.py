# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Leave out images that a list names and the disk has not."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import MMLogger

from ..errors import UsageError
from .label_checks import check_choice
from .label_table import LabelTable

__all__ = ['missing_rows', 'only_present_images']

SHOWN = 5


def only_present_images(table: LabelTable, folder: str | Path, missing: str = 'skip') -> LabelTable:
    """The table of the images that are there.

    Args:
        table: Images and labels.
        folder: The folder of the images.
        missing: ``'skip'`` leaves out those that are not there, and says in one warning how many
            these are and which are the first; ``'error'`` ends with the first; ``'ignore'`` does
            not look.

    Raises:
        UsageError: If ``folder`` does not exist, no image is there, or ``missing='error'`` and one
            is not.
    """
    check_choice('missing', missing, ('skip', 'error', 'ignore'))
    if missing == 'ignore':
        return table
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f'image folder {folder} does not exist: set data_prefix to the folder below which '
            f"{table.img_paths[0]} is, or missing='ignore' to go without images"
        )
    lacking = missing_rows(table.img_paths, folder)
    if not lacking:
        return table
    number, total = len(lacking), len(table.img_paths)
    first = ', '.join(table.img_paths[row] for row in lacking[:SHOWN])
    if number == total:
        raise UsageError(
            f'none of the {total} images of {table.source} is in {folder}, first {first}: set '
            'data_prefix to the folder that these paths start from'
        )
    if missing == 'error':
        row = lacking[0]
        raise UsageError(
            f'{table.source}: image {table.img_paths[row]} ({table.where(row)}), one of {number}, '
            f"is not in {folder}: fetch it, or leave such images out with missing='skip'"
        )
    # Formatted here: the host's logger drops a warning whose format string it has seen before.
    MMLogger.get_current_instance().warning(
        f'{number} of the {total} images of {table.source} are not in {folder} and are left out: '
        f'{first}{", ..." if number > SHOWN else ""}'
    )
    left_out = set(lacking)
    return table.select([row for row in range(total) if row not in left_out])


def missing_rows(paths: Sequence[str], folder: str | Path) -> list[int]:
    """Which of the images are not there.

    Each folder is listed once, which is a hundred times as fast as asking for each image where
    there are many in a folder.

    Args:
        paths: Relative to ``folder``, with forward slashes.
        folder: The folder of the images.

    Returns:
        Their positions in ``paths``, ascending.
    """
    by_folder = defaultdict(list)
    for row, path in enumerate(paths):
        inner, _, name = path.rpartition('/')
        by_folder[inner].append((row, name))
    lacking = []
    for inner, images in by_folder.items():
        try:
            with os.scandir(os.path.join(folder, inner)) as entries:
                present = {entry.name for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            present = set()
        lacking += [row for row, name in images if name not in present]
    return sorted(lacking)
