# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import numpy as np
import pytest
import torch
from label_cases import random_cases

from cnnrnn_mm.evaluation.functional import (
    average_precision_at_k,
    mean_over_images,
    rank_labels,
)
from cnnrnn_mm.evaluation.functional import ranked_labels as module

FALLING = torch.tensor([[0.9, 0.7, 0.5, 0.3]])  # ranks the classes 0, 1, 2, 3


def at_k(truth, k, path=None, ignored=()):
    """AP@k of one image whose scores rank the classes 0, 1, 2, 3."""
    target, hidden = torch.zeros(2, 1, 4, dtype=torch.bool)
    target[0, list(truth)], hidden[0, list(ignored)] = True, True
    ranked = rank_labels(FALLING, k, None if path is None else [path], hidden)
    return average_precision_at_k(ranked, target).item()


def reference(ranking, truth, k):
    hits, total = 0, 0.0
    for place, label in enumerate(ranking[:k], start=1):
        if label in truth:
            hits += 1
            total += hits / place
    return 100 * total / min(k, len(truth)) if truth else math.nan


def reference_ranking(scores, path, ignored):
    """One image's ranking; sorts by hand, lower ids first among equals."""
    allowed = [label for label in range(len(scores)) if label not in ignored]
    head = list(dict.fromkeys(label for label in path if label in allowed))
    rest = sorted(set(allowed) - set(head), key=lambda label: (-scores[label], label))
    return head + rest


def test_by_hand():
    # hits at places 1 and 3: (1/1 + 2/3) / min(3, 2)
    assert at_k({0, 2}, k=3) == pytest.approx(500 / 6)
    # one hit in one place is all that one place can hold: (1/1) / min(1, 2)
    assert at_k({0, 2}, k=1) == 100
    # a hit at place 2 alone, 3 true labels, 2 places: (1/2) / min(2, 3)
    assert at_k({1, 2, 3}, k=2) == 25
    # no hit among the first 2
    assert at_k({3}, k=2) == 0
    # more places than classes: hits at 1 and 4, (1/1 + 2/4) / min(10, 2)
    assert at_k({0, 3}, k=10) == 75
    assert math.isnan(at_k((), k=3))


def test_a_path_goes_first_in_its_own_order():
    # ranking 3, 1, 0, 2: hit at place 2
    assert at_k({1}, k=3, path=[3, 1]) == 50
    # 1 at its first place: ranking 1, 2, 0, 3; hits at 1 and 2
    assert at_k({1, 2}, k=2, path=[1, 2, 1]) == 100
    # an empty path leaves the scores: ranking 0, 1, 2, 3; hit at place 2
    assert at_k({1}, k=3, path=[]) == 50


def test_ignored_labels_are_neither_hit_nor_miss():
    # 0 is gone: ranking 1, 2, 3; hits at places 1 and 3: (1/1 + 2/3) / 2
    assert at_k({1, 3}, k=3, ignored=[0]) == pytest.approx(500 / 6)
    # also out of a path: ranking 3, 1, 2
    assert at_k({3}, k=1, path=[0, 3], ignored=[0]) == 100
    # a score of minus infinity stays before what is ignored
    hidden = torch.tensor([[True, False, False]])
    ranked = rank_labels(torch.full((1, 3), -torch.inf), 3, ignored=hidden)
    assert ranked.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize('rows', [1, 10**6])
def test_equals_loops(monkeypatch, rows):
    rng = np.random.default_rng(0)
    for case in random_cases(250 if rows > 1 else 50):
        num_images, num_classes = case.scores.shape
        monkeypatch.setattr(module, 'MAX_ENTRIES', rows * num_classes)  # images at once
        k = int(rng.integers(1, num_classes + 3))
        ignored = (rng.random(case.target.shape) < 0.2) & ~case.target
        paths = [
            rng.integers(num_classes, size=rng.integers(4)).tolist() for _ in range(num_images)
        ]
        scores, target, hidden = map(torch.from_numpy, (case.scores, case.target, ignored))
        for with_paths, with_ignored in ((0, 0), (1, 0), (0, 1), (1, 1)):
            ranked = rank_labels(
                scores, k, paths if with_paths else None, hidden if with_ignored else None
            )
            got = average_precision_at_k(ranked, target)
            for row in range(num_images):
                ranking = reference_ranking(
                    case.scores[row],
                    paths[row] if with_paths else [],
                    set(np.flatnonzero(ignored[row])) if with_ignored else set(),
                )
                truth = set(np.flatnonzero(case.target[row]))
                expected = reference(ranking, truth, k)
                assert got[row].item() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_mean_leaves_out_images_without_truth():
    values = torch.tensor([100.0, torch.nan, 40.0])
    weights = torch.tensor([[1.0, 0.0, 0.0], [1.0, 3.0, 1.0], [1.0, 0.0, 2.0]])
    assert mean_over_images(values, weights).tolist() == [70, 0, 40]


@pytest.mark.parametrize('label', [4, -1])
def test_end_in_a_path_is_an_error(label):
    with pytest.raises(ValueError, match=rf'label {label} of a path is not in \[0, 4\)'):
        rank_labels(FALLING, 2, [[0, label]])
