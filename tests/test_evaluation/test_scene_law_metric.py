# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.evaluation.metrics.scene_law_metric import SceneLawMetric
from cnnrnn_mm.registry import METRICS


def sample(*labels):
    """A data sample whose scores and ground truth would mislead whoever reads them."""
    result = DataSample().set_pred_score(torch.full((10,), 0.9)).set_gt_label([0, 1, 2])
    result.set_field(torch.tensor(labels, dtype=torch.long), 'pred_label')
    return result


def evaluate(*samples, **kwargs):
    evaluator = Evaluator(METRICS.build(dict(type='SceneLawMetric', **kwargs)))
    for part in samples:
        evaluator.process(data_samples=[part], data_batch=None)
    return evaluator.evaluate(len(samples))


def test_counts_illegal_sets_in_percent():
    figures = evaluate(
        sample(),  # legal: the empty scene
        sample(6, 1, 5),  # legal, in any order
        sample(0, 3, 4, 5),  # the forbidden trio
        sample(1),  # an anchor alone
        sample(2, 9, 8),  # legal
        sample(2, 5, 6),  # a pair of another kind
        sample(8, 9),  # companions without an anchor
        sample(0, 4, 5),  # legal
    )
    assert figures == {'law_broken': 50.0}


@pytest.mark.parametrize(('labels', 'expected'), [((0, 3, 5), 0.0), ((3,), 100.0)])
def test_bounds(labels, expected):
    assert evaluate(sample(*labels)) == {'law_broken': expected}


def test_prefix():
    assert evaluate(sample(), prefix='scenes') == {'scenes/law_broken': 0.0}


def test_scores_alone_are_refused():
    metric = SceneLawMetric()
    with pytest.raises(UsageError, match='pred_label'):
        metric.process(None, [{'pred_score': torch.rand(10)}])
