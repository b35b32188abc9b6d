# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Writes the demo scenes to disk in the layout of a VOC devkit."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnrnn_mm.errors import UsageError

from .law import CLASSES
from .render import CANVAS, SOURCE_SPLITS, DrawnDigit, draw_scene

VERSION = 1
"""Raised whenever the same seed would give other scenes than before."""

DEFAULT_SPLITS = {'train': 4000, 'val': 500, 'test': 1000}
"""Number of scenes in each split."""

STAMP = 'demo_scenes.json'
"""File that says what a finished folder holds."""


def generate_demo_scenes(
    root: str | os.PathLike,
    splits: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: bool = True,
    size: int = CANVAS,
) -> Path:
    """Write the demo scenes below ``root``, or reuse them where they already are.

    The folder can be read by ``mmpretrain.datasets.VOC`` with
    ``metainfo=dict(classes=CLASSES)``. It appears only when it is complete. Scene ``i`` of a split
    depends on the seed, the split and ``i`` alone, so a larger split begins with the smaller one.

    Args:
        root: Folder to create.
        splits: Number of scenes, at least 1, in 'train', 'val' and 'test'. Defaults to 4000,
            500 and 1000.
        seed: Seed of every random choice, at least 0. Defaults to 0.
        progress: Whether to show a progress bar on standard error. Defaults to True.
        size: Height and width of the scenes in pixels, at least 50. The digits keep their
            size, so they cover less of a larger scene. Defaults to 50.

    Returns:
        The folder.

    Raises:
        UsageError: If a split, the seed or the size is not as described, or if ``root`` holds
            anything else than these very scenes.
    """
    splits = dict(DEFAULT_SPLITS if splits is None else splits)
    if set(splits) != set(SOURCE_SPLITS) or min(splits.values()) < 1:
        raise UsageError(f'splits={splits}: give {list(SOURCE_SPLITS)}, each at least 1')
    if seed < 0:
        raise UsageError(f'seed={seed}: give a number of at least 0')
    if size < CANVAS:
        raise UsageError(f'size={size}: give at least {CANVAS} pixels, for the digits to have room')
    root = Path(root).expanduser()
    stamp = {'version': VERSION, 'seed': int(seed), 'splits': splits}
    if size != CANVAS:
        stamp['size'] = int(size)
    if _is_ready(root, stamp):
        return root

    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f'.{root.name}-', dir=root.parent))
    try:
        _write_scenes(partial, splits, seed, progress, size)
        (partial / STAMP).write_text(json.dumps(stamp, indent=2) + '\n', encoding='utf-8')
        partial.chmod(0o755)
        try:
            partial.rename(root)
        except OSError:  # another process may have finished the same scenes first
            if not _is_ready(root, stamp):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _is_ready(root: Path, stamp: dict) -> bool:
    """Whether ``root`` holds the stamped scenes; False if it is absent or an empty folder."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / STAMP).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        found = None
    if found != stamp:
        raise UsageError(
            f'{root} exists and holds {"no demo scenes" if found is None else f"scenes {found}"}, '
            f'not {stamp}: remove it, or choose another folder'
        )
    return True


def _write_scenes(root: Path, splits: dict[str, int], seed: int, progress: bool, size: int) -> None:
    """Write pictures, annotations and image lists of all splits."""
    image_sets = root / 'ImageSets' / 'Main'
    for folder in (root / 'JPEGImages', root / 'Annotations', image_sets):
        folder.mkdir(parents=True)
    names = {split: [f'{split}_{i:06d}' for i in range(n)] for split, n in splits.items()}
    for split, members in {**names, 'trainval': names['train'] + names['val']}.items():
        (image_sets / f'{split}.txt').write_bytes('\n'.join([*members, '']).encode())

    jobs = [(split, i, name) for split, members in names.items() for i, name in enumerate(members)]
    for split, i, name in _shown(jobs, progress):
        rng = np.random.default_rng([seed, list(SOURCE_SPLITS).index(split), i])
        picture, digits = draw_scene(split, rng, size)
        Image.fromarray(picture).save(
            root / 'JPEGImages' / f'{name}.jpg', quality=95, subsampling=0
        )
        (root / 'Annotations' / f'{name}.xml').write_bytes(annotation(name, digits, size).encode())


def annotation(name: str, digits: list[DrawnDigit], size: int = CANVAS) -> str:
    """VOC XML of one scene.

    Boxes count pixels from 1 and include their right and bottom edge, as VOC's do. ``smudged`` is
    an addition to VOC's fields.
    """
    objects = ''.join(
        f'  <object>\n'
        f'    <name>{CLASSES[digit.label]}</name>\n'
        f'    <truncated>0</truncated>\n'
        f'    <difficult>0</difficult>\n'
        f'    <smudged>{int(digit.smudged)}</smudged>\n'
        f'    <bndbox><xmin>{digit.box[0] + 1}</xmin><ymin>{digit.box[1] + 1}</ymin>'
        f'<xmax>{digit.box[2]}</xmax><ymax>{digit.box[3]}</ymax></bndbox>\n'
        f'  </object>\n'
        for digit in digits
    )
    return (
        f'<annotation>\n'
        f'  <folder>demo_scenes</folder>\n'
        f'  <filename>{escape(name)}.jpg</filename>\n'
        f'  <size><width>{size}</width><height>{size}</height><depth>3</depth></size>\n'
        f'{objects}</annotation>\n'
    )


def _shown(jobs: list, progress: bool) -> Iterator:
    """The jobs, one after the other, under a progress bar that shows the time left."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not progress) as bar:
        yield from bar.track(jobs, description='Drawing demo scenes')
