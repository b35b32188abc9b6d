# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How much labels tell about each other, in bits. Axis letters: N images, C classes, E edges.

The total correlation of the labels (sum of their entropies minus the joint entropy) is what a model
of label sets can gain over one label at a time. Its plug-in estimate is useless: most label sets
are seen once, so the joint entropy comes out far too small and the gain far too large. Here the
gain is measured instead, as held-out log-likelihood, with a model simple enough to be fitted on
sparse sets: a Chow-Liu forest, in which each label depends on at most one other (Chow and Liu, IEEE
Transactions on Information Theory 1968). A model that sees more than one other label can gain more,
so the figure is a lower bound, up to its standard error.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csgraph, csr_array
from scipy.special import xlogy

from .pairs import co_occurrence

__all__ = ['HeldOutGain', 'chow_liu_forest', 'held_out_gain', 'mutual_information']

#: Images' worth of weight that a label's share has in its share among the parent's images.
PRIOR_IMAGES = 1.0


class HeldOutGain(NamedTuple):
    """Code lengths of held-out label sets, in bits an image.

    Attributes:
        independent_bits: With each label by itself.
        tree_bits: With each label given its parent in a Chow-Liu forest.
        gain_bits: The difference; positive where labels tell about each other.
        standard_error: Of ``gain_bits``, over images.
        gain_percent: ``gain_bits`` in percent of ``independent_bits``.
        folds: Number of folds.
    """

    independent_bits: float
    tree_bits: float
    gain_bits: float
    standard_error: float
    gain_percent: float
    folds: int


def mutual_information(together: np.ndarray, num_images: int, corrected: bool = True) -> np.ndarray:
    """Mutual information of each pair of labels, in bits; on the diagonal the labels' entropies.

    Counts of independent labels give a positive value by chance. The correction is Miller and
    Madow's (1955): each entropy gets (cells that are not empty - 1) / (2 N ln 2) bits. It is chosen
    for being exact to the order 1 / N, in closed form, for all pairs at once; permutations would
    cost thousands of passes. For a pair with fewer than about five expected images together it is
    rough, and corrected values may be slightly negative.

    Args:
        together: Images with both labels (C, C), the images of each class on the diagonal.
        num_images: N.
        corrected: False gives the plug-in value.

    Returns:
        (C, C) float64.
    """
    counts = together.diagonal()
    either = counts[:, None] - together  # with the row's label alone
    cells = np.stack([together, either, either.T, num_images - together - either - either.T])
    one = np.stack([counts, num_images - counts])  # (2, C)
    entropy, joint = _entropy(one, num_images), _entropy(cells, num_images)
    if corrected:
        scale = 2 * num_images * np.log(2)
        entropy = entropy + ((one > 0).sum(0) - 1) / scale
        joint = joint + ((cells > 0).sum(0) - 1) / scale
    return entropy[:, None] + entropy[None, :] - joint


def chow_liu_forest(together: np.ndarray, num_images: int) -> np.ndarray:
    """The best forest of dependences: a maximum spanning tree without the edges that don't pay.

    An edge costs one parameter, log2(N) / (2 N) bits an image by the Bayesian information
    criterion; edges with less (plug-in) mutual information are left out. Each tree is rooted in its
    most frequent label.

    Args:
        together: (C, C), see :func:`mutual_information`.
        num_images: N.

    Returns:
        (E, 2) class ids, parent and child, parents before their children; E < C.
    """
    information = mutual_information(together, num_images, corrected=False)
    np.fill_diagonal(information, 0.0)
    information[information <= np.log2(num_images) / (2 * num_images)] = 0.0
    tree = csgraph.minimum_spanning_tree(-information)
    _, component = csgraph.connected_components(tree, directed=False)
    edges, seen = [], set()
    for root in np.argsort(-together.diagonal(), kind='stable').tolist():
        if component[root] in seen:
            continue
        seen.add(component[root])
        nodes, parents = csgraph.breadth_first_order(tree, root, directed=False)
        edges += [(int(parents[node]), int(node)) for node in nodes[1:]]
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def held_out_gain(matrix: csr_array, folds: int = 5, seed: int = 0) -> HeldOutGain | None:
    """Measure on images that were not counted what a label tells about another.

    Each fold is coded with the shares of the other folds: label by label, and along the forest of
    the other folds. A label's share p is smoothed as (n + 1/2) / (N + 1); its share among the
    images with (or without) the parent's label is pulled towards p with the weight of one image, so
    that rare parents do no harm.

    Args:
        matrix: Label sets (N, C), int64 zeros and ones.
        folds: Number of folds.
        seed: Draws the folds.

    Returns:
        The gain, or None where there are fewer than two images a fold.
    """
    num_images = matrix.shape[0]
    if num_images < 2 * folds:
        return None
    fold_of = np.random.default_rng(seed).permutation(num_images) % folds
    parts = [matrix[np.flatnonzero(fold_of == fold)] for fold in range(folds)]
    counted = [co_occurrence(part) for part in parts]
    total = sum(counted)
    independent, gain = [], []
    for part, own in zip(parts, counted, strict=True):
        alone, saved = _code_lengths(part, total - own, num_images - part.shape[0])
        independent.append(alone)
        gain.append(saved)
    bits, saved = np.concatenate(independent).mean(), np.concatenate(gain)
    return HeldOutGain(
        independent_bits=float(bits),
        tree_bits=float(bits - saved.mean()),
        gain_bits=float(saved.mean()),
        standard_error=float(saved.std(ddof=1) / np.sqrt(num_images)),
        gain_percent=float(100 * saved.mean() / bits),
        folds=folds,
    )


def _entropy(cells: np.ndarray, num_images: int) -> np.ndarray:
    """Plug-in entropy in bits over the first axis."""
    share = cells / num_images
    return -xlogy(share, share).sum(0) / np.log(2)


def _code_lengths(
    images: csr_array, together: np.ndarray, num_images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bits of each image without the forest, and the bits that the forest saves.

    Args:
        images: Held-out label sets (n, C).
        together: Counts (C, C) of the other images.
        num_images: Number of the other images.
    """
    counts = together.diagonal()
    share = (counts + 0.5) / (num_images + 1)
    absent = np.log2(1 - share)
    alone = -(absent.sum() + images @ (np.log2(share) - absent))

    parent, child = chow_liu_forest(together, num_images).T
    p, both = share[child], together[parent, child]
    given = (both + PRIOR_IMAGES * p) / (counts[parent] + PRIOR_IMAGES)
    without = (counts[child] - both + PRIOR_IMAGES * p) / (
        num_images - counts[parent] + PRIOR_IMAGES
    )
    # log2 of conditional over marginal share, for each state of parent and child
    neither, only_parent = np.log2((1 - without) / (1 - p)), np.log2((1 - given) / (1 - p))
    only_child, all_two = np.log2(without / p), np.log2(given / p)
    num_classes = len(counts)
    single = np.bincount(parent, only_parent - neither, num_classes)
    single += np.bincount(child, only_child - neither, num_classes)
    weights = all_two - only_parent - only_child + neither
    coupled = csr_array((weights, (parent, child)), shape=(num_classes, num_classes))
    saved = neither.sum() + images @ single + (images @ coupled).multiply(images).sum(1)
    return alone, saved
