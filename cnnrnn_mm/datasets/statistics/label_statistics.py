# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""All statistics of a data set's label sets. Axis letters: N images, C classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dependence import HeldOutGain, chow_liu_forest, held_out_gain, mutual_information
from .label_sets import (
    count_sets,
    expected_set_sizes,
    frequent_first,
    label_matrix,
    order_labels,
    set_sizes,
)
from .pairs import LabelPairs, co_occurrence, label_pairs

__all__ = ['LabelStatistics', 'count_label_statistics']


@dataclass(frozen=True)
class LabelStatistics:
    """What :func:`count_label_statistics` finds.

    Attributes:
        classes: C class names.
        num_images: N.
        counts: Images of each class (C,), int64.
        sequence: Class ids (C,), frequent first.
        set_sizes: Images with 0, 1, ... labels, int64.
        expected_set_sizes: Images with as many labels if the labels were independent, float64, as
            long as ``set_sizes``; larger sets, which were not seen, are left out.
        sets: The distinct label sets, each frequent first, with their images; most common first.
        together: Images with both labels (C, C), int64.
        pairs: Figures of all pairs of classes that have images.
        information: Mutual information (C, C) in bits, Miller-Madow corrected; entropies on the
            diagonal.
        forest: (E, 2) parents and children of the Chow-Liu forest of all images.
        gain: What the forest saves on held-out images; None where there are too few images.
    """

    classes: tuple[str, ...]
    num_images: int
    counts: np.ndarray
    sequence: np.ndarray
    set_sizes: np.ndarray
    expected_set_sizes: np.ndarray
    sets: list[tuple[tuple[int, ...], int]]
    together: np.ndarray
    pairs: LabelPairs
    information: np.ndarray
    forest: np.ndarray
    gain: HeldOutGain | None

    @property
    def num_labels(self) -> int:
        """Labels of all images together."""
        return int(self.counts.sum())

    @property
    def empty_share(self) -> float:
        """Share of images without a label."""
        return float(self.set_sizes[0] / self.num_images)

    @property
    def several_share(self) -> float:
        """Share of images with two labels or more."""
        return float(self.set_sizes[2:].sum() / self.num_images)

    @property
    def unique_share(self) -> float:
        """Share of images whose label set no other image has."""
        return sum(count == 1 for _, count in self.sets) / self.num_images

    def names(self, ids: Sequence[int]) -> list[str]:
        """Class names of ids."""
        return [self.classes[label] for label in ids]


def count_label_statistics(
    labels: Sequence[Sequence[int] | np.ndarray],
    classes: Sequence[str],
    folds: int = 5,
    seed: int = 0,
) -> LabelStatistics:
    """Count everything.

    Args:
        labels: N lists of different class ids in [0, C), N >= 1; a list may be empty.
        classes: C class names.
        folds: Folds of the held-out gain.
        seed: Draws the folds.
    """
    matrix = label_matrix(labels, len(classes))
    together = co_occurrence(matrix)
    counts, num_images = together.diagonal().copy(), len(labels)
    sequence = frequent_first(counts)
    sizes = set_sizes(matrix)
    # one size more than there is, so that the last entry seen is not the catch-all
    expected = expected_set_sizes(counts / num_images, len(sizes) + 1)[:-1]
    return LabelStatistics(
        classes=tuple(classes),
        num_images=num_images,
        counts=counts,
        sequence=sequence,
        set_sizes=sizes,
        expected_set_sizes=num_images * expected,
        sets=count_sets(*order_labels(matrix, sequence)),
        together=together,
        pairs=label_pairs(together, num_images),
        information=mutual_information(together, num_images),
        forest=chow_liu_forest(together, num_images),
        gain=held_out_gain(matrix, folds, seed),
    )
