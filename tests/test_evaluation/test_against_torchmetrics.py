# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The figures that torchmetrics has, too; the others are checked against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from label_cases import random_cases

from cnnrnn_mm.evaluation.functional import (
    average_precision,
    average_precision_at_k,
    label_set_scores,
    mean_over_classes,
    rank_labels,
)

torchmetrics = pytest.importorskip('torchmetrics')
classification = pytest.importorskip('torchmetrics.functional.classification')
retrieval = pytest.importorskip('torchmetrics.functional.retrieval')


def test_label_set_scores():
    names = {
        ('C-P', 'macro'): classification.multilabel_precision,
        ('C-R', 'macro'): classification.multilabel_recall,
        ('mean-class-F1', 'macro'): classification.multilabel_f1_score,
        ('O-P', 'micro'): classification.multilabel_precision,
        ('O-R', 'micro'): classification.multilabel_recall,
        ('O-F1', 'micro'): classification.multilabel_f1_score,
    }
    for case in random_cases():
        pred, target = torch.from_numpy(case.pred), torch.from_numpy(case.target)
        scores = label_set_scores(pred, target)
        pred, target, num_classes = pred.double(), target.long(), target.shape[1]
        for (name, average), function in names.items():
            theirs = function(pred, target, num_classes, average=average, validate_args=False)
            assert scores[name] == pytest.approx(100 * theirs.item(), abs=1e-4), name  # float32
        theirs = classification.multilabel_exact_match(
            pred, target, num_classes, validate_args=False
        )
        assert scores['exact-match'] == pytest.approx(100 * theirs.item(), abs=1e-4)


@pytest.mark.filterwarnings('ignore:No positive samples found')
def test_mean_average_precision():
    for case in random_cases():
        scores, target = torch.from_numpy(case.scores), torch.from_numpy(case.target)
        ours = mean_over_classes(average_precision(scores, target)).item()
        theirs = classification.multilabel_average_precision(
            scores, target.long(), target.shape[1], validate_args=False
        )
        assert ours == pytest.approx(100 * theirs.item(), abs=1e-4)  # theirs is float32


def test_average_precision_at_k_up_to_the_divisor():
    """torchmetrics divides by the hits among the first k, not by what k places could hold."""
    rng = np.random.default_rng(0)
    for case in random_cases():
        # No ties, whose order is ours to choose, and no 0, which never counts as a hit there.
        places = np.arange(1.0, case.scores.shape[1] + 1)
        scores = torch.tensor(rng.permuted(np.tile(places, (len(case.scores), 1)), axis=1))
        target = torch.from_numpy(case.target)
        k = int(rng.integers(1, target.shape[1] + 1))
        ranked = rank_labels(scores, k)
        ours = average_precision_at_k(ranked, target)
        for row in np.flatnonzero(case.target.any(1)):
            hits = target[row][ranked[row]].sum().item()
            theirs = retrieval.retrieval_average_precision(scores[row], target[row], top_k=k).item()
            expected = 100 * theirs * hits / min(k, target[row].sum().item())
            assert ours[row].item() == pytest.approx(expected, abs=1e-4)
