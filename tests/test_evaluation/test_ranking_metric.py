# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import AveragePrecision, VOCAveragePrecision
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample

from cnnrnn_mm.evaluation.functional import average_precision, mean_over_classes
from cnnrnn_mm.evaluation.metrics.ranking_metric import ITEMS, RankingMetric
from cnnrnn_mm.registry import METRICS


def make_sample(scores, gt, pred=None, **meta):
    sample = DataSample(metainfo=meta).set_pred_score(torch.tensor(scores))
    sample.set_gt_label(torch.tensor(gt, dtype=torch.long))
    return sample if pred is None else sample.set_pred_label(torch.tensor(pred, dtype=torch.long))


def random_samples(num_images=40, num_classes=6, seed=0, levels=8):
    """Samples with ties, where levels is small, with difficult labels and images without any."""
    torch.manual_seed(seed)
    scores = torch.randint(levels, (num_images, num_classes)) / levels
    target = torch.rand(num_images, num_classes) > 0.8
    difficult = (torch.rand(num_images, num_classes) > 0.8) & ~target
    samples = [
        make_sample(
            score.tolist(),
            gt.nonzero().flatten().tolist(),
            torch.randperm(num_classes)[:3].tolist(),
            gt_label_difficult=hidden.nonzero().flatten().tolist(),
        )
        for score, gt, hidden in zip(scores, target, difficult, strict=True)
    ]
    assert not target.any(1).all()
    return samples, scores, target, difficult


def evaluate(samples, metric=None, **options):
    evaluator = Evaluator(metrics=RankingMetric(**options) if metric is None else metric)
    for start in range(0, len(samples), 3):  # batches of 3
        evaluator.process(samples[start : start + 3])
    return evaluator.evaluate(len(samples))


def test_by_hand():
    # class 0: ranking T F F, AP 1. class 1: F T T in the order 0.8, 0.6, 0.5: P 1/2 at R 1/2, 2/3
    # at R 1: AP 1/2 * 1/2 + 1/2 * 2/3 = 7/12; 11 points: 2/3 everywhere. class 2: no positives.
    samples = [
        make_sample([0.9, 0.8, 0.1], [0], [0]),  # ranking 0, 1, 2: AP@2 = 1
        make_sample([0.2, 0.6, 0.7], [1], [1, 0]),  # ranking 2, 1, 0: 1/2; path 1, 0: 1
        make_sample([0.3, 0.5, 0.1], [1], []),  # ranking 1, 0, 2: 1
        make_sample([0.1, 0.2, 0.3], [], [2]),  # without a label: in no MAP
    ]
    metrics = evaluate(samples, k=2, items=ITEMS, classwise=True)
    assert metrics == {
        'ranking/mAP': pytest.approx(100 * (1 + 7 / 12) / 3),
        'ranking/mAP_11points': pytest.approx(100 * (1 + 2 / 3) / 3),
        'ranking/mAP_interpolated': pytest.approx(100 * (1 + 2 / 3) / 3),
        'ranking/MAP@2': pytest.approx(250 / 3),
        'ranking/MAP@2_path': pytest.approx(100),
        'ranking/AP_classwise': pytest.approx([100, 700 / 12, 0]),
        'ranking/AP_11points_classwise': pytest.approx([100, 200 / 3, 0]),
        'ranking/AP_interpolated_classwise': pytest.approx([100, 200 / 3, 0]),
    }
    metrics = evaluate(samples, items=['mAP'], classwise=True, skip_absent=True)
    assert metrics['ranking/mAP'] == pytest.approx(100 * (1 + 7 / 12) / 2)
    assert math.isnan(metrics['ranking/AP_classwise'][2])


def test_any_head_of_the_host_is_scored_as_the_host_scores_it():
    torch.manual_seed(0)
    head = MultiLabelLinearClsHead(num_classes=6, in_channels=8)
    truth = torch.rand(40, 6) > 0.7
    truth[:, 5] = False  # the host counts a class without positives as 0, and so does the default
    samples = [DataSample().set_gt_label(row.nonzero().flatten()) for row in truth]
    with torch.no_grad():
        head.predict((4 * torch.randn(40, 8),), samples)
    metrics = evaluate(samples, [RankingMetric(classwise=True), AveragePrecision()])
    assert metrics['ranking/mAP'] == pytest.approx(metrics['multi-label/mAP'], abs=1e-4)
    assert {'ranking/mAP_11points', 'ranking/MAP@10'} < set(metrics)
    hosts = evaluate(samples, AveragePrecision(average=None))['multi-label/AP_classwise']
    assert metrics['ranking/AP_classwise'] == pytest.approx(hosts, abs=1e-4)


def test_difficult_labels_as_in_the_host():
    samples, scores, target, difficult = random_samples(levels=10**6)  # no ties
    metrics = evaluate(samples, [RankingMetric(ignore_difficult=True), VOCAveragePrecision()])
    assert metrics['ranking/mAP'] == pytest.approx(metrics['multi-label/mAP'], abs=1e-4)
    as_mistakes = evaluate(samples, RankingMetric())
    hosts = evaluate(samples, VOCAveragePrecision(difficult_as_positive=False))
    assert as_mistakes['ranking/mAP'] == pytest.approx(hosts['multi-label/mAP'], abs=1e-4)
    assert as_mistakes['ranking/mAP'] < metrics['ranking/mAP']
    # MAP@1 by hand: the best label of each image that is not ignored
    got = evaluate(samples, k=1, items=['MAP@k'], ignore_difficult=True)['ranking/MAP@1']
    best = scores.masked_fill(difficult, -1).argmax(1)
    right = target[torch.arange(40), best][target.any(1)]
    assert got == pytest.approx(100 * right.double().mean().item())


def test_ties_do_not_depend_on_the_order_of_the_images():
    """The host's figure does: a stable sort puts the image that comes first before its equals."""
    samples = [make_sample([0.5, 0.1 * place], [0] if place == 0 else []) for place in range(9)]
    values = [
        evaluate(one, RankingMetric(items=['mAP'], skip_absent=True))['ranking/mAP']
        for one in (samples, samples[::-1])
    ]
    assert values == pytest.approx([100 / 9, 100 / 9])


def test_intervals_equal_a_loop_over_resampled_images():
    samples, scores, target, _ = random_samples()
    metrics = evaluate(samples, items=['mAP', 'MAP@k_path', 'MAP@k'], bootstrap=300, k=3)
    assert list(metrics) == [
        f'ranking/{name}{end}'
        for name in ('mAP', 'MAP@3_path', 'MAP@3')
        for end in ('', '_low', '_high')
    ]
    # other draws of the same kind: the ends agree to within what 300 draws leave open
    rng, values = np.random.default_rng(0), []
    for _ in range(300):
        rows = rng.integers(40, size=40)
        values.append(mean_over_classes(average_precision(scores[rows], target[rows])).item())
    middle, low, high = (metrics[f'ranking/mAP{end}'] for end in ('', '_low', '_high'))
    expected = np.quantile(values, [0.025, 0.975]) - np.mean(values) + middle
    assert low == pytest.approx(expected[0], abs=2) and high == pytest.approx(expected[1], abs=2)
    assert high - low > 8


def test_intervals_do_not_depend_on_the_order_of_the_images():
    samples = random_samples()[0]
    options = dict(bootstrap=30, items=ITEMS, ignore_difficult=True)
    metrics = evaluate(samples, **options)
    assert evaluate(samples, **options) == metrics
    assert evaluate(samples[::-1], **options) == metrics
    assert evaluate(samples, **options, seed=1) != metrics


def test_scores_of_half_precision_and_of_other_kinds():
    scores, gt = [[0.9, 0.3], [0.3, 0.9]], [[0], [1]]
    for convert in (torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double):
        samples = [
            DataSample().set_gt_label(one).set_pred_score(convert(torch.tensor(score)))
            for score, one in zip(scores, gt, strict=True)
        ]
        assert evaluate(samples, items=['mAP'])['ranking/mAP'] == 100
    metric = RankingMetric()
    metric.process(None, [dict(pred_score=np.array([0.9, 0.3]), gt_label=[0])])
    assert metric.evaluate(1)['ranking/MAP@10'] == 100


def test_what_is_stored_does_not_change_with_the_sample():
    metric, score = RankingMetric(items=['MAP@k']), torch.tensor([0.9, 0.1])
    metric.process(None, [dict(pred_score=score, gt_label=[0])])
    score.fill_(0).add_(torch.tensor([0.1, 0.9]))
    assert metric.evaluate(1) == {'ranking/MAP@10': 100}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(k=0), 'k is 0'),
        (dict(items=['AP']), r"unknown items \['AP'\]"),
        (dict(bootstrap=-1), 'bootstrap is -1'),
        (dict(bootstrap=10, confidence=1.5), r'confidence is 1\.5'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        RankingMetric(**options)


def test_missing_and_impossible_fields_are_named():
    good = dict(pred_score=torch.rand(3), gt_label=[0])
    for change, options, message in (
        (dict(pred_score=None), {}, 'no pred_score, which RankingMetric reads'),
        (dict(gt_label=None), {}, 'neither gt_score nor gt_label'),
        (
            dict(pred_score=torch.tensor([0.1, torch.nan]), img_path='a.jpg'),
            {},
            'of a.jpg holds NaN',
        ),
        ({}, dict(items=['MAP@k_path']), 'no pred_label'),
        ({}, dict(ignore_difficult=True), 'meta_keys'),
    ):
        with pytest.raises(ValueError, match=message):
            RankingMetric(**options).process(None, [{**good, **change}])
    metric = RankingMetric()
    metric.process(None, [good, dict(good, pred_score=torch.rand(4))])
    with pytest.raises(ValueError, match=r'the results have \[3, 4\]'):
        metric.evaluate(2)
    metric = RankingMetric()
    metric.process(None, [dict(good, gt_label=[3])])
    with pytest.raises(ValueError, match=r'label 3 is not in \[0, 3\)'):
        metric.evaluate(1)


def test_built_from_a_config():
    metric = METRICS.build(dict(type='RankingMetric', k=3, prefix='r'))
    assert isinstance(metric, RankingMetric) and metric.prefix == 'r'
