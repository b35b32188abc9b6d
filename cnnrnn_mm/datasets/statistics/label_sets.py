# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label sets of N images over C classes as a sparse matrix, and what is counted on it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from ..transforms import OrderLabels

__all__ = [
    'count_sets',
    'expected_set_sizes',
    'frequent_first',
    'label_matrix',
    'order_labels',
    'set_sizes',
]


def label_matrix(labels: Sequence[Sequence[int] | np.ndarray], num_classes: int) -> csr_array:
    """Put N label lists into a matrix of zeros and ones.

    Args:
        labels: N lists of different class ids in [0, C), as ``check_labels`` demands; a list may be
            empty.
        num_classes: C.

    Returns:
        Sparse int64 matrix (N, C).
    """
    offsets = np.zeros(len(labels) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in labels], out=offsets[1:])
    flat = np.concatenate([*labels, np.zeros(0, np.int64)]).astype(np.int64)
    return csr_array((np.ones_like(flat), flat, offsets), shape=(len(labels), num_classes))


def frequent_first(counts: ArrayLike, classes: Sequence[str] | None = None) -> np.ndarray:
    """Class ids by falling count, equal counts as :class:`OrderLabels` orders them.

    Args:
        counts: (C,), images with each label.
        classes: Names by class id; None for none.

    Returns:
        Class ids (C,).
    """
    order = OrderLabels('frequent_first')
    order.fit(counts, classes)
    return order.fitted()


def order_labels(matrix: csr_array, sequence: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Order the labels of all images at once, as :class:`OrderLabels` does image by image.

    Args:
        matrix: Label sets (N, C).
        sequence: Class ids (C,), first label first.

    Returns:
        The class ids (M,) of all images, one image after the other, and offsets (N + 1,): image n
        has ``ids[offsets[n]:offsets[n + 1]]``.
    """
    num_classes = matrix.shape[1]
    sequence = np.asarray(sequence, dtype=np.int64)
    ranks = np.empty_like(sequence)
    ranks[sequence] = np.arange(num_classes)
    image = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    keys = np.sort(image * num_classes + ranks[matrix.indices])
    return sequence[keys % num_classes], matrix.indptr.astype(np.int64)


def count_sets(ids: np.ndarray, offsets: np.ndarray) -> list[tuple[tuple[int, ...], int]]:
    """The distinct label sets and their images, most common first.

    Args:
        ids: Ordered labels (M,), as :func:`order_labels` gives them.
        offsets: (N + 1,), see there.

    Returns:
        Pairs of a set, in its order, and the number of its images. Of equally common sets the one
        that comes first in the data is first.
    """
    content = ids.astype(np.int32).tobytes()
    ends = (4 * offsets).tolist()
    counts = Counter(content[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True))
    return [
        (tuple(np.frombuffer(key, np.int32).tolist()), count) for key, count in counts.most_common()
    ]


def set_sizes(matrix: csr_array) -> np.ndarray:
    """Images with 0, 1, ... labels: (largest size + 1,) int64."""
    return np.bincount(np.diff(matrix.indptr), minlength=1)


def expected_set_sizes(shares: ArrayLike, num_sizes: int) -> np.ndarray:
    """Shares of set sizes 0, 1, ..., if the labels were independent: a Poisson binomial.

    Args:
        shares: Share of the images (C,) that have each class.
        num_sizes: Length of the result, at least 2; its last entry holds all larger sizes too.
    """
    sizes = np.zeros(num_sizes)
    sizes[0] = 1.0
    for share in np.asarray(shares, dtype=float):
        moved = sizes * share
        sizes -= moved
        sizes[1:] += moved[:-1]
        sizes[-1] += moved[-1]
    return sizes
