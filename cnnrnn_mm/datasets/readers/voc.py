# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets from a folder in the layout of the Pascal VOC development kit. C classes."""

import difflib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.logging import MMLogger
from mmpretrain.datasets.categories import VOC2007_CATEGORIES

from ...errors import UsageError
from ..class_list import class_list
from ..label_checks import check_choice, check_paths
from ..label_table import LabelTable
from .box_column import BoxColumn
from .voc_file import VocFile, parse_voc_file

__all__ = ['DIFFICULT', 'UNKNOWN', 'read_voc']

DIFFICULT = ('ignore', 'negative', 'positive')
UNKNOWN = ('warn', 'error', 'ignore')


def read_voc(
    image_set: str,
    annotations: str,
    classes: Sequence[str] | str | None = None,
    difficult: str = 'ignore',
    unknown: str = 'warn',
    read: Callable[[str], bytes] | None = None,
    boxes: bool = False,
) -> LabelTable:
    """Read which classes each image of a split shows.

    Args:
        image_set: The list of image ids, such as 'VOC2007/ImageSets/Main/trainval.txt'.
        annotations: The folder of the annotation files, such as 'VOC2007/Annotations'.
        classes: C names in the order of the class ids, or a file with one a line; None for VOC's
            20, in alphabetical order.
        difficult: What a class is to an image that shows difficult objects of it only: 'positive',
            a label like others; 'negative', none; 'ignore', neither: it is in ``difficult``.
        unknown: What is done about objects of other classes: 'warn' passes them over and names
            their classes in one warning; 'error' ends with the first; 'ignore' passes them over.
            Objects of VOC's 20 classes are always passed over: the list is a choice of these.
        read: Gives the bytes of a path; None reads from disk.
        boxes: Whether to keep the boxes, too; of difficult objects only where these are 'positive'.

    Returns:
        The images in the list's order, numbered by its lines, their paths relative to the image
        folder. Areas are those of the largest object that makes a class a label; an image whose
        file gives no size has none.

    Raises:
        UsageError: If a file is missing or can't be used; the message names it and the object.
    """
    check_choice('difficult', difficult, DIFFICULT)
    check_choice('unknown', unknown, UNKNOWN)
    names = class_list(VOC2007_CATEGORIES if classes is None else classes)
    read = _read_file if read is None else read
    image_ids, lines = _image_ids(image_set, read)
    img_paths = [f'{image_id}.jpg' for image_id in image_ids]
    check_paths(img_paths, image_set, lambda row: f'line {lines[row]}')  # before the files are read
    class_ids = {name: label for label, name in enumerate(names)}
    others: Counter[str] = Counter()
    sizeless: list[str] = []
    labels, hidden, areas = [], [], []
    column = BoxColumn() if boxes else None
    for image_id, line in zip(image_ids, lines, strict=True):
        path = os.path.join(annotations, f'{image_id}.xml')
        try:
            content = read(path)
        except OSError as error:
            raise UsageError(
                f'{image_set}, line {line}: annotation {path} cannot be read '
                f'({error.strerror or type(error).__name__}): add it or remove the line'
            ) from None
        file = parse_voc_file(content, path)
        _count_others(file, class_ids, others, unknown)
        plain, hard = _areas(file, class_ids)
        if difficult == 'positive':
            for label, area in hard.items():
                plain[label] = max(area, plain.get(label, 0.0))
        only_hard = hard.keys() - plain.keys() if difficult == 'ignore' else ()
        labels.append(tuple(sorted(plain)))
        hidden.append(tuple(sorted(only_hard)))
        areas.append({label: plain[label] for label in sorted(plain) if plain[label]})
        if column is not None:
            column.add(_boxes(file, class_ids, difficult == 'positive'), file.size, path)
        if file.size is None and plain:
            sizeless.append(path)
    _report(image_set, names, others if unknown == 'warn' else Counter(), sizeless)
    if column is not None:
        column.report(image_set)
    return LabelTable(
        source=image_set,
        classes=names,
        img_paths=img_paths,
        labels=labels,
        difficult=hidden,
        areas=areas,
        boxes=None if column is None else column.rows,
        numbers=lines,
        counted='line',
    )


def _read_file(path: str) -> bytes:
    return Path(path).expanduser().read_bytes()


def _image_ids(path: str, read: Callable[[str], bytes]) -> tuple[list[str], list[int]]:
    """The ids in a list and their lines; blank lines are passed over."""
    try:
        text = read(path).decode('utf-8-sig')
    except OSError as error:
        raise UsageError(
            f'{path} cannot be read ({error.strerror or type(error).__name__}): name a list of '
            'image ids such as ImageSets/Main/train.txt'
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b'\n') + 1
        raise UsageError(f'{path}, line {line} is no UTF-8: save it as UTF-8') from None
    numbered = [(line.strip(), number) for number, line in enumerate(text.split('\n'), 1)]
    kept = [(image_id, number) for image_id, number in numbered if image_id]
    return [image_id for image_id, _ in kept], [number for _, number in kept]


def _areas(file: VocFile, class_ids: dict[str, int]) -> tuple[dict[int, float], dict[int, float]]:
    """The largest share of the image of each class, over its plain and its difficult objects.

    It is 0 where it is not known.
    """
    plain: dict[int, float] = {}
    hard: dict[int, float] = {}
    for number, one in enumerate(file.objects):
        label = class_ids.get(one.name)
        if label is not None:
            shares = hard if one.difficult else plain
            shares[label] = max(file.share(number) or 0.0, shares.get(label, 0.0))
    return plain, hard


def _boxes(
    file: VocFile, class_ids: dict[str, int], hard: bool
) -> list[tuple[int, tuple[float, float, float, float] | None]]:
    """Class id and box, 0-based with exclusive edges, of each object; of difficult ones if hard."""
    kept = [one for one in file.objects if one.name in class_ids and (hard or not one.difficult)]
    found = []
    for one in kept:
        edges = one.box
        if edges is not None:  # pixel 1 is the first one, and the last one belongs to the object
            edges = (edges[0] - 1, edges[1] - 1, edges[2], edges[3])
        found.append((class_ids[one.name], edges))
    return found


def _count_others(
    file: VocFile, class_ids: dict[str, int], others: Counter[str], unknown: str
) -> None:
    """Count the objects of classes that are neither in the list nor VOC's."""
    for number, one in enumerate(file.objects):
        if one.name not in class_ids and one.name not in VOC2007_CATEGORIES:
            if unknown == 'error':
                raise UsageError(
                    f"{file.path}: object {number} is a '{one.name}', which is not in the class "
                    f'list{_near(one.name, class_ids)}: correct the name, or pass such objects '
                    "over with unknown='warn'"
                )
            others[one.name] += 1


def _near(name: str, known: Sequence[str] | dict[str, int]) -> str:
    """As ' (did you mean cat?)', whatever the case of the letters; '' where nothing is near."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[near[0]]}'?)" if near else ''


def _report(source: str, names: Sequence[str], others: Counter[str], sizeless: list[str]) -> None:
    """Warn of what was passed over, each kind once."""
    # Formatted here: the host's logger drops a warning whose format string it has seen before.
    logger = MMLogger.get_current_instance()
    if others:
        shown = ', '.join(
            f"'{name}'{_near(name, names)}: {count}" for name, count in others.most_common(10)
        )
        logger.warning(
            f'{source}: objects of classes that are not in the class list were passed over: '
            f'{shown}{", ..." if len(others) > 10 else ""}'
        )
    if sizeless:
        logger.warning(
            f'{source}: no areas for {len(sizeless)} images, whose annotations give no size: '
            f'first {sizeless[0]}'
        )
