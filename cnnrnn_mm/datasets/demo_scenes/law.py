# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The law of the demo scenes: which label sets exist, and how probable each is.

A scene is empty, or it shows one large anchor digit, its kind, and two small companions. Each kind
allows three or four pairs of companions and no other:

- ``zero`` brings exactly two of the trio three, four, five. Unseen, each of the three is more
  likely present than absent, yet the three together are forbidden.
- ``one`` and ``two`` bring one of four pairs. Unseen, each companion is more likely
  absent than present, yet the anchor alone is forbidden.

So, wherever the companions cannot be read, the list of the likely labels is no legal set.
"""

from collections.abc import Iterable

import numpy as np

CLASSES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
"""Class names; class ``i`` is the digit ``i``."""

EMPTY_PROBABILITY = 0.04
"""Probability that a scene has no digit, and so no label."""

KIND_PROBABILITIES = {0: 0.08, 1: 0.51, 2: 0.41}
"""Probability of each anchor, given that the scene is not empty."""

PAIR_PROBABILITIES = {
    0: {(3, 4): 0.46, (3, 5): 0.29, (4, 5): 0.25},
    1: {(5, 6): 0.45, (7, 8): 0.19, (3, 9): 0.18, (4, 7): 0.18},
    2: {(8, 9): 0.45, (6, 7): 0.19, (4, 5): 0.18, (3, 6): 0.18},
}
"""Probability of each pair of companions, given the anchor."""

SMUDGE_PROBABILITIES = (0.35, 0.05, 0.60)
"""Probability that none, one or both companions are smudged: unreadable, but still labelled.

It is the same for every label set; where one of the two is smudged, either is as likely.
"""

LabelSet = frozenset[int]


def set_probabilities() -> dict[LabelSet, float]:
    """Every legal label set with its probability; the probabilities sum to 1."""
    sets: dict[LabelSet, float] = {frozenset(): EMPTY_PROBABILITY}
    for anchor, pairs in PAIR_PROBABILITIES.items():
        kind = (1 - EMPTY_PROBABILITY) * KIND_PROBABILITIES[anchor]
        sets.update({frozenset((anchor, *pair)): kind * p for pair, p in pairs.items()})
    return sets


def is_legal(labels: Iterable[int]) -> bool:
    """Whether a set of class indices can be a scene's; the order does not matter.

    A label listed twice makes it illegal, since a scene never shows a digit twice.
    """
    labels = [int(label) for label in labels]
    return len(set(labels)) == len(labels) and frozenset(labels) in _LEGAL_SETS


def anchor_of(labels: Iterable[int]) -> int | None:
    """The anchor among a legal set's labels; None for the empty set."""
    return next((label for label in labels if label in KIND_PROBABILITIES), None)


def sample_scene(rng: np.random.Generator) -> tuple[int | None, tuple[int, ...], tuple[bool, ...]]:
    """Draw one scene.

    Returns:
        The anchor's class (None if the scene is empty); the companions' classes in random order;
        whether each of them is smudged.
    """
    sets = list(_LEGAL_SETS.items())
    labels = sets[_draw(rng, [probability for _, probability in sets])][0]
    anchor = anchor_of(labels)
    companions = sorted(labels - {anchor})
    order = rng.permutation(len(companions))
    count = _draw(rng, SMUDGE_PROBABILITIES)
    smudged = [rank < count for rank in rng.permutation(len(companions))]
    return anchor, tuple(companions[i] for i in order), tuple(smudged)


def _draw(rng: np.random.Generator, probabilities: Iterable[float]) -> int:
    """Index drawn with the given probabilities, by inversion of one uniform number."""
    bounds = np.cumsum(np.asarray(probabilities, dtype=np.float64))
    return min(int(np.searchsorted(bounds, rng.random(), side='right')), len(bounds) - 1)


_LEGAL_SETS = set_probabilities()
