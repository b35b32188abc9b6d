# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which labels come together, and which avoid each other, beyond chance.

Axis letters: N images, C classes, P pairs of classes that both occur.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.sparse import csr_array

__all__ = ['LabelPairs', 'co_occurrence', 'label_pairs', 'top_pairs']


class LabelPairs(NamedTuple):
    """Figures of pairs of classes, each an array (P,).

    Attributes:
        first: Id of the class with more images, or of the lower id where they are equal.
        second: Id of the other class.
        both: Images with both labels.
        expected: Images with both if the labels were independent: n_first n_second / N.
        second_given_first: Share of the first class's images that have the second label.
        first_given_second: The reverse.
        lift: both / expected; 1 if independent. Its log2 is the pointwise mutual information (PMI)
            in bits.
        q_value: False discovery rate at which the pair counts as dependent: of all pairs with this
            value or a lower one, at most this share is expected to be chance.
    """

    first: np.ndarray
    second: np.ndarray
    both: np.ndarray
    expected: np.ndarray
    second_given_first: np.ndarray
    first_given_second: np.ndarray
    lift: np.ndarray
    q_value: np.ndarray

    def take(self, chosen: np.ndarray) -> 'LabelPairs':
        """The pairs at these places, or where this mask is true."""
        return LabelPairs(*(field[chosen] for field in self))


def co_occurrence(matrix: csr_array) -> np.ndarray:
    """Images with both labels, int64 (C, C); the images of each class on the diagonal.

    Args:
        matrix: Label sets (N, C), int64 zeros and ones.
    """
    return (matrix.T @ matrix).toarray()


def label_pairs(together: np.ndarray, num_images: int) -> LabelPairs:
    """Figures of all pairs of classes that have images.

    Small counts give large lifts by chance, so each pair is tested: whether the images of the rarer
    label have the other label as often as all images have it, by the exact binomial test, two-sided
    as twice the smaller tail. Fisher's test would be a little surer of itself where labels are very
    common, and takes minutes for a thousand classes. Over all pairs the false discovery rate is
    that of Benjamini and Yekutieli (Annals of Statistics 2001), which holds for tests that depend
    on each other, as these do.

    Args:
        together: (C, C), see :func:`co_occurrence`.
        num_images: N.
    """
    counts = together.diagonal()
    order = np.argsort(-counts, kind='stable')
    order = order[counts[order] > 0]
    rows, columns = np.triu_indices(len(order), k=1)
    first, second = order[rows], order[columns]
    both, n_first, n_second = together[first, second], counts[first], counts[second]
    expected = n_first * n_second / num_images
    chance = stats.binom(n_second, n_first / num_images)  # second is the rarer one
    p_value = np.minimum(2 * np.minimum(chance.cdf(both), chance.sf(both - 1)), 1.0)
    q_value = stats.false_discovery_control(p_value, method='by') if p_value.size else p_value
    return LabelPairs(
        first, second, both, expected, both / n_first, both / n_second, both / expected, q_value
    )


def top_pairs(
    pairs: LabelPairs, kind: str, most: int, max_q: float = 0.01, min_images: int = 5
) -> LabelPairs:
    """The foremost pairs of a kind.

    Args:
        pairs: All pairs.
        kind: ``'common'``, most images with both first; ``'attracting'``, largest lift first;
            ``'avoiding'``, smallest lift first.
        most: Most pairs to return.
        max_q: Attracting and avoiding pairs must have this false discovery rate at most, ...
        min_images: ... and this many images with both, seen (attracting) or expected (avoiding).
    """
    if kind == 'common':
        chosen = (pairs.both > 0).nonzero()[0]
        key = -pairs.both[chosen]
    elif kind == 'attracting':
        sure = (pairs.q_value <= max_q) & (pairs.lift > 1) & (pairs.both >= min_images)
        chosen = sure.nonzero()[0]
        key = -pairs.lift[chosen]
    elif kind == 'avoiding':
        sure = (pairs.q_value <= max_q) & (pairs.lift < 1) & (pairs.expected >= min_images)
        chosen = sure.nonzero()[0]
        key = pairs.lift[chosen]
    else:
        raise ValueError(f"kind '{kind}' is not known: use common, attracting or avoiding")
    order = np.lexsort((-pairs.expected[chosen], key))
    return pairs.take(chosen[order[:most]])
