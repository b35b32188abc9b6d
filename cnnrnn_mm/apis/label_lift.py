# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether labels that a model puts near each other come together in photos.

Axis letters: N images, C classes, k neighbours of a label, P pairs, R draws.
"""

from typing import Any

import numpy as np

__all__ = ['measure_lift']

#: Labels of about the same frequency: as many of neighbouring ranks.
GROUP = 10


def measure_lift(
    neighbors: np.ndarray, presence: np.ndarray, draws: int = 1000, seed: int = 0
) -> dict:
    """How much more often labels come with their neighbours than with other labels.

    The lift of a pair is P(a, b) / (P(a) P(b)), over images: 1 for labels that know nothing of each
    other. Rare pairs have large lifts by chance, or 0, so there are four figures:

    - ``mean`` and ``median`` of the pairs' lifts;
    - ``pooled``: images with both labels, over all pairs, by those expected of independent labels;
    - ``together``: share of pairs that come together at all.

    Each has a 95 % interval of labels drawn with replacement, each with its neighbours, and stands
    beside two baselines, in which all labels change places, so that the neighbours' graph stays
    what it is: ``random`` with any other label, ``matched`` with one of about the same number of
    images. A baseline has its mean, the range of 95 % of its draws, and p: the share of draws at
    least as large as what was seen, itself among them.

    Args:
        neighbors: (C, k) ids of each label's neighbours.
        presence: (N, C) bool, label sets. Pairs with a label that has no image are left out.
        draws: R, of intervals and baselines.
        seed: Of the draws.

    Returns:
        ``images``, ``labels`` and ``pairs`` that count, and a dict for each figure: ``value``,
        ``interval``, and ``random`` and ``matched``, each ``mean``, ``range`` and ``p``. Figures
        are None where no pair counts.
    """
    presence = np.asarray(presence, dtype=np.float64)
    counts = presence.sum(0)
    both = presence.T @ presence
    expected = np.outer(counts, counts) / max(len(presence), 1)
    first = np.repeat(np.arange(len(neighbors)), neighbors.shape[1])
    second = neighbors.ravel()
    counted = (counts[first] > 0) & (counts[second] > 0)
    first, second = first[counted], second[counted]
    there = np.flatnonzero(counts > 0)
    result: dict[str, Any] = {'images': len(presence), 'labels': len(there), 'pairs': len(first)}
    names = ('mean', 'median', 'pooled', 'together')
    if not len(first):
        return {**result, **dict.fromkeys(names)}

    def figures(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        seen, chance = both[one, other], expected[one, other]
        lift = seen / chance
        return np.array(
            [lift.mean(), np.median(lift), seen.sum() / chance.sum(), (seen > 0).mean()]
        )

    generator = np.random.default_rng(seed)
    value = figures(first, second)
    drawn = np.array([figures(*_resample(first, second, generator)) for _ in range(draws)])
    by_rank = there[np.argsort(-counts[there], kind='stable')]
    baselines = {}
    for name, size in (('random', len(there)), ('matched', GROUP)):
        groups = [by_rank[start : start + size] for start in range(0, len(by_rank), size)]
        moved = (_exchange(groups, len(counts), generator) for _ in range(draws))
        baselines[name] = np.array([figures(to[first], to[second]) for to in moved])
    for place, name in enumerate(names):
        result[name] = {
            'value': float(value[place]),
            'interval': _range(drawn[:, place]),
            **{
                kind: {
                    'mean': float(values[:, place].mean()),
                    'range': _range(values[:, place]),
                    'p': float((1 + (values[:, place] >= value[place]).sum()) / (1 + draws)),
                }
                for kind, values in baselines.items()
            },
        }
    return result


def _resample(
    first: np.ndarray, second: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn with replacement, each with all its pairs; ``first`` is sorted."""
    starts = np.flatnonzero(np.diff(first, prepend=-1))
    ends = np.append(starts[1:], len(first))
    drawn = generator.integers(len(starts), size=len(starts))
    rows = np.concatenate([np.arange(starts[one], ends[one]) for one in drawn])
    return first[rows], second[rows]


def _exchange(
    groups: list[np.ndarray], num_classes: int, generator: np.random.Generator
) -> np.ndarray:
    """(C,) the label that each becomes; within its group."""
    to = np.arange(num_classes)
    for group in groups:
        to[group] = generator.permutation(group)
    return to


def _range(values: np.ndarray) -> list[float]:
    """What holds the middle 95 %."""
    return [float(one) for one in np.quantile(values, [0.025, 0.975])]
