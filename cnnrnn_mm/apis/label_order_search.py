# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The label order "easiest first", found by training again and again.

Axis letters: C classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from scipy.stats import spearmanr

from ..errors import UsageError
from .label_order_runs import MEASURES, METRICS, check_order, train_in_order

__all__ = ['METRICS', 'OrderRound', 'easiest_first', 'rank_correlation', 'search_label_order']


@dataclass(frozen=True)
class OrderRound:
    """What training in one label order gave.

    Attributes:
        number: 1 for the config's own order.
        name: What the order is called.
        sequence: (C,) class ids, the first label first; None for a new order for each image.
        classes: (C,) class names; None where the dataset has none.
        scores: For each of ``METRICS`` one value a seed, in percent, on the validation split.
        ease: (C,) mean over seeds of each class's AP or recall in percent; NaN for classes
            without a validation image.
        correlation: Spearman's rank correlation of this order with the one before; None where one
            of them is missing.
    """

    number: int
    name: str
    sequence: tuple[int, ...] | None
    classes: tuple[str, ...] | None
    scores: dict[str, tuple[float, ...]]
    ease: np.ndarray
    correlation: float | None

    def mean(self, metric: str) -> float:
        """The mean over seeds."""
        return float(np.mean(self.scores[metric]))

    def arguments(self) -> dict[str, Any]:
        """What :class:`OrderLabels` is given for this order; plain types."""
        if self.sequence is None:
            return {'order': self.name}
        names = self.classes
        given = [label if names is None else names[label] for label in self.sequence]
        return {'order': 'given', 'given': given}


def search_label_order(
    cfg: Config, rounds: int = 3, seeds: Sequence[int] = (0,), measure: str = 'AP'
) -> Iterator[OrderRound]:
    """Train in the config's label order, then in that of the classes it found easiest, and so on.

    The CNN-RNN paper tried such an order and says no more than that. Here a class is the easier,
    the higher its average precision (or recall) on the validation split, averaged over the seeds;
    classes without a validation image come last, in the order before. The search ends early when an
    order comes back. No checkpoint is written; each run logs below ``work_dir``.

    Which round is best is also seen on the validation split: report figures of another.

    Args:
        cfg: A run's config; it is not changed.
        rounds: Most orders to train in.
        seeds: Of the runs of each round.
        measure: ``'AP'`` or ``'recall'``, of ``pred_score`` and ``pred_label``.

    Yields:
        Each round when it is done.

    Raises:
        UsageError: If an option is out of range, or the config gives no order that could be fitted.
    """
    if rounds < 1:
        raise UsageError(f'rounds is {rounds}: set it to 1 or more')
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f'seeds are {list(seeds)}: name at least one, and each once')
    if measure not in MEASURES:
        raise UsageError(f"measure is '{measure}': choose from {', '.join(MEASURES)}")
    check_order(cfg)
    sequence, before, seen = None, None, set()
    for number in range(1, rounds + 1):
        runs = [train_in_order(cfg, sequence, number, seed, measure) for seed in seeds]
        first = runs[0]
        ease = np.mean([run.ease for run in runs], axis=0)
        yield OrderRound(
            number,
            first.name if number == 1 else 'easiest_first',
            first.sequence,
            first.classes,
            {metric: tuple(run.scores[metric] for run in runs) for metric in METRICS},
            ease,
            None
            if before is None or first.sequence is None
            else rank_correlation(before, first.sequence),
        )
        before = first.sequence
        seen.add(before)
        sequence = easiest_first(ease, range(len(ease)) if before is None else before)
        if sequence in seen:
            return


def easiest_first(ease: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    """Class ids by falling ease; ties as before, and NaN last.

    Args:
        ease: (C,).
        before: (C,) class ids in the order before.
    """
    measured = [label for label in before if not math.isnan(ease[label])]
    others = [label for label in before if math.isnan(ease[label])]
    return (*sorted(measured, key=lambda label: -ease[label]), *others)


def rank_correlation(first: Sequence[int], second: Sequence[int]) -> float:
    """Spearman's rank correlation of two orders of the same class ids; NaN for a single class."""
    if len(first) < 2:
        return math.nan
    return float(spearmanr(np.argsort(first), np.argsort(second)).statistic)
