# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Small random splits that hold what is rare in real ones."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

KINDS = (
    'empty prediction',
    'empty truth',
    'both empty',
    'absent class',
    'unpredicted class',
    'tie',
)


class Case(NamedTuple):
    pred: np.ndarray  # bool (N, C)
    target: np.ndarray  # bool (N, C)
    scores: np.ndarray  # float32 (N, C), of few levels, so that many are equal


def random_cases(count: int = 500, seed: int = 0) -> Iterator[Case]:
    """Splits of 1 to 8 images and 2 to 6 classes; at least a tenth of them hold each kind."""
    rng = np.random.default_rng(seed)
    seen = dict.fromkeys(KINDS, 0)
    for _ in range(count):
        num_images, num_classes = rng.integers(1, 9), rng.integers(2, 7)
        pair = []
        for _ in range(2):
            matrix = rng.random((num_images, num_classes)) < rng.choice([0.1, 0.4, 0.8])
            matrix[rng.random(num_images) < 0.2] = False
            matrix[:, rng.random(num_classes) < 0.2] = False
            pair.append(matrix)
        pred, target = pair
        scores = rng.integers(0, 5, (num_images, num_classes)).astype(np.float32) / 4
        kinds = (
            (~pred.any(1)).any(),
            (~target.any(1)).any(),
            (~(pred | target).any(1)).any(),
            (~target.any(0)).any(),
            (~pred.any(0)).any(),
            any(len(set(column)) < num_images for column in scores.T),
        )
        for kind, is_there in zip(KINDS, kinds, strict=True):
            seen[kind] += bool(is_there)
        yield Case(pred, target, scores)
    assert min(seen.values()) >= count / 10, seen
