# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from the official files of NUS-WIDE. Axis letters: n images, C classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UsageError
from ..class_list import class_list
from ..label_checks import check_choice, check_class_names, suggestion
from ..label_table import LabelTable
from .indicator_file import Indicators, read_indicators

__all__ = ['IMAGE_LISTS', 'read_nus_wide']

#: By split.
IMAGE_LISTS = {
    'train': 'ImageList/TrainImagelist.txt',
    'test': 'ImageList/TestImagelist.txt',
    'all': 'ImageList/Imagelist.txt',
}
CONCEPTS = 'ConceptsList/Concepts81.txt'
CONCEPT_LABELS = {
    'train': 'Groundtruth/TrainTestLabels/Labels_{}_Train.txt',
    'test': 'Groundtruth/TrainTestLabels/Labels_{}_Test.txt',
    'all': 'Groundtruth/AllLabels/Labels_{}.txt',
}
TAGS = 'NUS_WID_Tags/TagList1k.txt'
TAG_LABELS = {
    'train': 'NUS_WID_Tags/Train_Tags1k.dat',
    'test': 'NUS_WID_Tags/Test_Tags1k.dat',
    'all': 'NUS_WID_Tags/AllTags1k.txt',
}


def read_nus_wide(
    root: str | Path,
    split: str = 'train',
    concepts: int = 81,
    classes: Sequence[str] | str | None = None,
    empty: str = 'keep',
) -> LabelTable:
    """Read which concepts or tags each image of a split has.

    Args:
        root: The folder where the official archives were unpacked. Each file is looked for under
            its official path and, folder by folder, with less of that path.
        split: 'train' (161,789 images), 'test' (107,859) or 'all' (269,648).
        concepts: 81, the concepts that people marked, or 1000, the most frequent Flickr tags.
        classes: The concepts to take, in the order of the class ids, or a file with one a line;
            None for all, in the order of the official list.
        empty: Whether images without a label stay in the table: 'keep' or 'drop'.

    Returns:
        The images in the order of the image list, numbered by its lines, their paths relative to
        the folder of the images ('actor/0001_2124494179.jpg').

    Raises:
        UsageError: If an option is not known, a file is missing or wrong, or the files do not
            belong together; the message names file and line.
    """
    check_choice('split', split, tuple(IMAGE_LISTS))
    check_choice('empty', empty, ('keep', 'drop'))
    if concepts not in (81, 1000):
        raise UsageError(f'concepts={concepts!r} is unknown: choose 81 or 1000')
    root = Path(root).expanduser()
    if not root.is_dir():
        raise UsageError(
            f'folder {root} does not exist: unpack the archives of NUS-WIDE there, or make a link'
        )
    listing = _find(root, IMAGE_LISTS[split])
    paths = [line.replace('\\', '/') for line in _lines(listing)]
    if concepts == 81:
        names, marks = _concept_labels(root, split, class_list(classes), listing, len(paths))
    else:
        names, marks = _tag_labels(root, split, class_list(classes), listing, len(paths))
    table = LabelTable(
        source=str(listing),
        classes=names,
        img_paths=paths,
        labels=_label_sets(marks),
        numbers=range(1, len(paths) + 1),
        counted='line',
    )
    return table.without_empty() if empty == 'drop' else table


def _concept_labels(
    root: Path, split: str, chosen: tuple[str, ...] | None, listing: Path, num_images: int
) -> tuple[tuple[str, ...], Indicators]:
    """Each concept has a file of its own, with a line for each image."""
    known = _known(_find(root, CONCEPTS), chosen)
    names = known if chosen is None else chosen
    rows, columns = [], []
    for label, name in enumerate(names):
        path = _find(root, CONCEPT_LABELS[split].format(name))
        found = read_indicators(path, 1)
        _check_count(listing, num_images, path, found.num_rows)
        rows.append(found.rows)
        columns.append(np.full_like(found.rows, label))
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    order = np.argsort(rows, kind='stable')  # leaves the labels of an image ascending
    return names, Indicators(num_images, rows[order], columns[order])


def _tag_labels(
    root: Path, split: str, chosen: tuple[str, ...] | None, listing: Path, num_images: int
) -> tuple[tuple[str, ...], Indicators]:
    """One file has a line for each image and a column for each tag."""
    known = _known(_find(root, TAGS), chosen)
    path = _find(root, TAG_LABELS[split])
    found = read_indicators(path, len(known))
    _check_count(listing, num_images, path, found.num_rows)
    if chosen is None:
        return known, found
    new_ids = np.full(len(known), -1, np.int32)
    new_ids[[known.index(name) for name in chosen]] = np.arange(len(chosen))
    columns = new_ids[found.columns]
    rows, columns = found.rows[columns >= 0], columns[columns >= 0]
    order = np.lexsort((columns, rows))
    return chosen, Indicators(num_images, rows[order], columns[order])


def _label_sets(marks: Indicators) -> list[tuple[int, ...]]:
    """The labels of each image; images with the same labels share one tuple."""
    labels = marks.columns.tolist()
    counts = np.bincount(marks.rows, minlength=marks.num_rows)
    ends = np.cumsum(counts).tolist()
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    sets, start = [], 0
    for end in ends:
        one = tuple(labels[start:end])
        sets.append(shared.setdefault(one, one))
        start = end
    return sets


def _find(root: Path, official: str) -> Path:
    """A file under its official path, or with less of it: some unpack the archives elsewhere."""
    parts = official.split('/')
    for first in range(len(parts)):
        path = root.joinpath(*parts[first:])
        if path.is_file():
            return path
    raise UsageError(
        f'{root / official} does not exist: unpack the official archives of NUS-WIDE in {root}, or '
        'set data_root to where they are'
    )


def _lines(path: Path) -> list[str]:
    """The lines of a list; blank ones may follow the last."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f'{path} cannot be read ({error.strerror}): fetch it anew') from None
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError:
        text = content.decode('latin-1')
    lines = [line.strip() for line in text.split('\n')]
    while lines and not lines[-1]:
        lines.pop()
    if '' in lines:
        raise UsageError(
            f'{path}, line {lines.index("") + 1} is blank, so it is open which labels the lines '
            'below have: fetch the file anew'
        )
    if not lines:
        raise UsageError(f'{path} is empty: fetch it anew')
    return lines


def _known(path: Path, chosen: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names in an official list, which must have the chosen ones."""
    names = tuple(_lines(path))
    check_class_names(names, str(path))
    for name in chosen if chosen is not None else ():
        if name not in names:
            raise UsageError(f"{path} has no '{name}' of the class list: {suggestion(name, names)}")
    return names


def _check_count(listing: Path, num_images: int, path: Path, num_rows: int) -> None:
    if num_rows != num_images:
        raise UsageError(
            f'{listing} lists {num_images} images, but {path} has labels for {num_rows}: take both '
            'from the same release'
        )
