# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The figures of a model on a split. Axis letters: N images, C labels."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from cnnrnn_mm.evaluation.functional import (
    average_precision,
    example_scores,
    label_set_scores,
    mean_over_classes,
    rank_labels,
)
from cnnrnn_mm.search import best_threshold

from .known import SETTINGS, draw_keys, reveal
from .outputs import Outputs

__all__ = [
    'COLUMNS',
    'COMPLETION',
    'choose_threshold',
    'complete',
    'completion_scores',
    'decided_sets',
    'make_figures',
    'seen_before',
]

#: Names of the figures, and the digits that are shown.
COLUMNS = {
    'mAP': 1,
    'mAP, absent 0': 1,
    'O-F1': 1,
    'C-F1': 1,
    'O-F1*': 1,
    'C-F1*': 1,
    'C-F1**': 1,
    'example-F1': 1,
    'EM': 1,
    'EM seen': 1,
    'EM unseen': 1,
    'NLL': 2,
    'example-F1, expected': 1,
    'EM, expected': 1,
}
#: A threshold above all scores, which are probabilities.
NOTHING = 2.0
COMPLETION = tuple(f'{name} {setting}' for name in ('mAP', 'R@3') for setting in SETTINGS)


def choose_threshold(outputs: Outputs, score: str = 'O-F1') -> float:
    """The threshold of ``scores`` that maximises ``'O-F1'`` or ``'C-F1'``.

    It is one of the scores, or ``NOTHING`` where it is best to name no label.
    """
    scores, target = outputs.scores.double(), outputs.target
    if score == 'O-F1':  # pooled, so that what counts neither way can be left out
        scores, target = (one[~outputs.ignored].unsqueeze(0) for one in (scores, target))
    else:
        scores = scores.masked_fill(outputs.ignored, -1.0)
    return min(best_threshold(scores, target, score)[0], NOTHING)


def decided_sets(outputs: Outputs, threshold: float) -> dict[str, Tensor]:
    """The label sets that are compared, (N, C) bool each.

    ``predicted``, ``tuned`` (what scores at least the threshold), ``expected`` and ``own``: what
    exact match is of, ``predicted`` for a model of paths and ``tuned`` for an independent one.
    """
    tuned = outputs.scores.double() >= threshold
    sets = dict(predicted=outputs.predicted, tuned=tuned, expected=outputs.expected)
    sets['own'] = tuned if outputs.independent else outputs.predicted
    return {name: one & ~outputs.ignored for name, one in sets.items()}


def seen_before(target: Tensor, training_sets: Collection[frozenset[int]]) -> Tensor:
    """Which images have a label set (N, C) that an image of the training split has, (N,) bool."""
    rows = [frozenset(row.nonzero().flatten().tolist()) for row in target]
    return torch.tensor([row in training_sets for row in rows])


def make_figures(
    outputs: Outputs, thresholds: Mapping[str, float], seen: Tensor
) -> dict[str, float | None]:
    """The figures by name, in percent but for NLL, which is in nats; None where there is none.

    Args:
        outputs: Of the split.
        thresholds: For O-F1 and C-F1, chosen on the validation split.
        seen: (N,) from :func:`seen_before`.
    """
    target, sets = outputs.target, decided_sets(outputs, thresholds['O-F1'])
    precision = average_precision(outputs.scores, target, outputs.ignored)
    plain, tuned = (label_set_scores(sets[name], target) for name in ('predicted', 'tuned'))
    by_class = label_set_scores(decided_sets(outputs, thresholds['C-F1'])['tuned'], target)
    own = example_scores(sets['own'], target)
    expected = example_scores(sets['expected'], target)
    figures = {
        'mAP': mean_over_classes(precision, skip_absent=True),
        'mAP, absent 0': mean_over_classes(precision),
        'O-F1': plain['O-F1'],
        'C-F1': plain['C-F1'],
        'O-F1*': tuned['O-F1'],
        'C-F1*': tuned['C-F1'],
        'C-F1**': by_class['C-F1'],
        'example-F1': own['example-F1'].mean(),
        'EM': own['exact-match'].mean(),
        'EM seen': own['exact-match'][seen].mean(),
        'EM unseen': own['exact-match'][~seen].mean(),
        'NLL': -outputs.log_prob.mean(),
        'NLL, lower bound': -outputs.log_prob_upper.mean(),
        'example-F1, expected': expected['example-F1'].mean(),
        'EM, expected': expected['exact-match'].mean(),
        'EM seen, expected': expected['exact-match'][seen].mean(),
        'EM unseen, expected': expected['exact-match'][~seen].mean(),
        'threshold': thresholds['O-F1'],
        'threshold for C-F1': thresholds['C-F1'],
    }
    return {name: _finite(float(value)) for name, value in figures.items()}


def complete(outputs: Outputs, seed: int) -> dict[str, float | None]:
    """How well the rest of the labels is found where some are known, for each setting.

    Args:
        outputs: Of the split.
        seed: Of the known labels, as in the evaluation.
    """
    keys, figures = draw_keys(*outputs.target.shape, seed), {}
    for setting in SETTINGS:
        known, counted = reveal(outputs.target, keys, setting)
        scores = outputs.completion.get(setting, outputs.scores)
        rows = (one[counted] for one in (scores, outputs.target, known, outputs.ignored))
        found = completion_scores(*rows) if counted.any() else (None, None)
        figures[f'mAP {setting}'], figures[f'R@3 {setting}'] = found
    return figures


def completion_scores(
    scores: Tensor, target: Tensor, known: Tensor, ignored: Tensor
) -> tuple[float, float]:
    """How well the rest of the labels is found, in percent.

    Args:
        scores: (N, C).
        target: True labels (N, C) bool, of each image more than known.
        known: The labels that were given away (N, C) bool.
        ignored: Labels that count neither way (N, C) bool.

    Returns:
        mAP, which leaves an image out for the labels that it gave away, and classes without a
        positive among the rest; R@3, the mean over images of the share of the rest that is among
        the three best labels that are not known.
    """
    rest, hidden = target & ~known, known | ignored
    precision = average_precision(scores, rest, hidden)
    best = rank_labels(scores, 3, ignored=hidden)
    recall = rest.gather(1, best).sum(1) / rest.sum(1)
    return float(mean_over_classes(precision, True)), 100 * float(recall.double().mean())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
