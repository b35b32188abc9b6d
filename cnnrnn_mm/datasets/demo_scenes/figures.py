# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The best figures that any reader of the demo scenes can reach, exactly.

The reader meant here reads the anchor and each legible companion without error, sees how many
companions are smudged, and knows the law. All it lacks is what the picture does not hold. Its
figures follow by enumeration of every label set and every pattern of smudges; nothing is sampled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import log

from .law import CLASSES, SMUDGE_PROBABILITIES, LabelSet, anchor_of, is_legal, set_probabilities

Observation = tuple[LabelSet, int]
"""What a picture shows: its legible labels, and how many companions are smudged."""

Posterior = dict[LabelSet, float]
"""Joint probability of an observation with each label set that can lie behind it."""

LIKELY = 0.5
"""Probability above which an independent head calls a label present."""


@dataclass(frozen=True)
class ReaderFigures:
    """Expected figures of one way to decide, all in percent.

    Attributes:
        exact_match: Scenes whose predicted set is the true one.
        o_f1: F1 of the precision and recall over all labels of all scenes.
        c_f1: F1 of the class-averaged precision and recall (not the mean of class F1s).
        law_broken: Scenes whose predicted set is not legal.
    """

    exact_match: float
    o_f1: float
    c_f1: float
    law_broken: float


def observations() -> dict[Observation, Posterior]:
    """Every possible observation with the label sets behind it; all values sum to 1."""
    table: dict[Observation, Posterior] = {}
    for labels, probability in set_probabilities().items():
        anchor = anchor_of(labels)
        if anchor is None:
            table.setdefault((labels, 0), {})[labels] = probability
            continue
        companions = sorted(labels - {anchor})
        for smudges, share in enumerate(SMUDGE_PROBABILITIES):
            patterns = list(combinations(companions, len(companions) - smudges))
            for legible in patterns:
                posterior = table.setdefault((frozenset((anchor, *legible)), smudges), {})
                posterior[labels] = posterior.get(labels, 0.0) + probability * share / len(patterns)
    return table


def marginals(posterior: Posterior) -> list[float]:
    """Probability of each class given the observation, as a list in the order of the classes."""
    total = sum(posterior.values())
    return [
        sum(p for labels, p in posterior.items() if label in labels) / total
        for label in range(len(CLASSES))
    ]


def most_probable_set(posterior: Posterior) -> LabelSet:
    """The joint decision: the label set that is most probable as a whole."""
    return max(posterior, key=posterior.__getitem__)


def likely_labels(posterior: Posterior, threshold: float = LIKELY) -> LabelSet:
    """The independent decision: every label that is more probable than the threshold."""
    return frozenset(i for i, p in enumerate(marginals(posterior)) if p > threshold)


def reader_figures(decide: Callable[[Posterior], LabelSet]) -> ReaderFigures:
    """Expected figures of a reader that turns each posterior into a set by ``decide``."""
    classes = range(len(CLASSES))
    hits, predicted, actual = ([0.0] * len(CLASSES) for _ in range(3))
    exact = broken = 0.0
    for posterior in observations().values():
        chosen = decide(posterior)
        exact += posterior.get(chosen, 0.0)
        broken += sum(posterior.values()) * (not is_legal(chosen))
        for labels, probability in posterior.items():
            for label in classes:
                hits[label] += probability * (label in labels and label in chosen)
                predicted[label] += probability * (label in chosen)
                actual[label] += probability * (label in labels)
    precision = sum(hits[i] / predicted[i] if predicted[i] else 0.0 for i in classes) / len(CLASSES)
    recall = sum(hits[i] / actual[i] for i in classes) / len(CLASSES)
    o_f1 = 2 * sum(hits) / (sum(predicted) + sum(actual))
    c_f1 = 2 * precision * recall / (precision + recall)
    return ReaderFigures(100 * exact, 100 * o_f1, 100 * c_f1, 100 * broken)


def average_precisions() -> list[float]:
    """Average precision of each class's exact marginal, in percent, in the order of the classes.

    This is the expectation in the limit of many scenes. Scenes with the same marginal are in
    random order, as scores that differ by chance put them; so a group of ties contributes the
    integral of the precision while it is passed through.
    """
    result = []
    for label in range(len(CLASSES)):
        groups: dict[float, list[float]] = {}
        for posterior in observations().values():
            score = marginals(posterior)[label]
            group = groups.setdefault(round(score, 12), [0.0, 0.0])
            group[0] += score * sum(posterior.values())
            group[1] += sum(posterior.values())
        above_hits = above = area = 0.0
        for _, (hits, mass) in sorted(groups.items(), reverse=True):
            rate = hits / mass
            area += rate * hits
            if above:  # integral of (above_hits + rate t) / (above + t) over t, less its limit
                area += rate * (above_hits - rate * above) * log((above + mass) / above)
            above_hits, above = above_hits + hits, above + mass
        result.append(100 * area / above_hits)
    return result


def mean_average_precision() -> float:
    """Mean over the classes of the best possible average precision, in percent."""
    return sum(average_precisions()) / len(CLASSES)


def best_figures() -> dict[str, ReaderFigures]:
    """Figures of the best reader under each way to decide.

    Returns:
        dict[str, ReaderFigures]: ``joint`` for the most probable set; ``independent`` for the
        labels above 0.5; ``independent_tuned`` for one threshold, the same for all labels,
        chosen so that O-F1 is as high as it gets.
    """
    values = {p for posterior in observations().values() for p in marginals(posterior)}
    tuned = [reader_figures(partial(likely_labels, threshold=t)) for t in values if t < 1]
    return {
        'joint': reader_figures(most_probable_set),
        'independent': reader_figures(likely_labels),
        'independent_tuned': max(tuned, key=lambda figures: figures.o_f1),
    }
