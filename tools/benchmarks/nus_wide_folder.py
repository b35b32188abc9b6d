# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A folder of NUS-WIDE's official layout and size, made from label sets. n images, C classes."""

import json
from pathlib import Path

import numpy as np

from cnnrnn_mm.errors import UsageError

__all__ = ['LabelSets', 'draw_label_sets', 'read_label_sets', 'write_nus_wide']

#: Photos of NUS-WIDE that have one of its 81 concepts, the concepts, and folders of photos.
NUM_IMAGES, NUM_CONCEPTS, NUM_FOLDERS = 209_347, 81, 704

LabelSets = tuple[list[str], list[list[int]]]


def read_label_sets(path: str) -> LabelSets:
    """Class names and label sets of a JSON file {"classes": [...], "labels": [[...], ...]}.

    Raises:
        UsageError: If it is no such file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        return list(content['classes']), list(content['labels'])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f'{path} is no file {{"classes": [...], "labels": [[...], ...]}}: leave out '
            '--label-sets to draw label sets'
        ) from None


def draw_label_sets(seed: int, num_images: int = NUM_IMAGES) -> LabelSets:
    """Label sets of NUS-WIDE's number and size: 2.4 labels on average, frequencies falling."""
    draw = np.random.default_rng(seed)
    share = 1 / (np.arange(NUM_CONCEPTS) + 2.0)
    sizes = 1 + draw.poisson(1.9, num_images)
    drawn = draw.choice(NUM_CONCEPTS, sizes.sum(), p=share / share.sum())
    parts = np.split(drawn, np.cumsum(sizes)[:-1])
    return [f'concept{label}' for label in range(NUM_CONCEPTS)], [
        sorted(set(one.tolist())) for one in parts
    ]


def write_nus_wide(root: Path, classes: list[str], labels: list[list[int]]) -> list[str]:
    """Write the lists and the concepts' labels of all images, in the official layout.

    Returns:
        n image paths below the image folder, which is not written.
    """
    for folder in ('ConceptsList', 'ImageList', 'Groundtruth/AllLabels'):
        (root / folder).mkdir(parents=True)
    (root / 'ConceptsList/Concepts81.txt').write_text('\n'.join(classes) + '\n')
    paths = [
        f'folder_{row % NUM_FOLDERS:03d}/{row // NUM_FOLDERS:04d}_{10**9 + row}.jpg'
        for row in range(len(labels))
    ]
    listing = ''.join(path.replace('/', '\\') + '\r\n' for path in paths)
    (root / 'ImageList/Imagelist.txt').write_bytes(listing.encode())
    matrix = np.zeros((len(classes), len(labels)), np.uint8)
    for row, one in enumerate(labels):
        matrix[one, row] = 1
    for name, marks in zip(classes, matrix, strict=True):
        text = np.stack([marks + ord('0'), np.full_like(marks, ord('\n'))], 1).tobytes()
        (root / f'Groundtruth/AllLabels/Labels_{name}.txt').write_bytes(text)
    return paths
