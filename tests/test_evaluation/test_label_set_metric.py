# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import MultiLabelMetric, MultiTasksMetric
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample, MultiTaskDataSample

from cnnrnn_mm.evaluation.functional import labels_to_sets
from cnnrnn_mm.evaluation.metrics.label_set_metric import ITEMS, LabelSetMetric
from cnnrnn_mm.registry import METRICS

SCORES = [0.9, 0.2, 0.6, 0.1]


def make_sample(pred, gt, scores=None, **meta):
    sample = DataSample(metainfo=meta).set_pred_label(torch.tensor(pred, dtype=torch.long))
    sample.set_gt_label(torch.tensor(gt, dtype=torch.long))
    return sample if scores is None else sample.set_pred_score(torch.tensor(scores))


def evaluate(samples, **options):
    evaluator = Evaluator(metrics=LabelSetMetric(**options))
    for start in range(0, len(samples), 2):  # batches of 2
        evaluator.process(samples[start : start + 2])
    return evaluator.evaluate(len(samples))


def test_scores_the_path_and_not_the_scores():
    samples = [make_sample([1, 3], [3, 1], SCORES), make_sample([], [0], SCORES)]
    metrics = evaluate(samples)
    assert list(metrics) == [f'label-set/{item}' for item in ITEMS]
    assert metrics['label-set/O-P'] == 100
    assert metrics['label-set/O-R'] == pytest.approx(200 / 3)
    assert metrics['label-set/C-P'] == 50  # classes 0 and 2 are never predicted
    assert metrics['label-set/exact-match'] == 50
    assert metrics['label-set/set-size'] == 1


def test_topk_scores_the_k_best():
    samples = [make_sample([1, 3], [0, 1], SCORES), make_sample([], [2], SCORES)]
    metrics = evaluate(samples, topk=2, items=['O-P', 'O-R', 'set-size'])  # sets {0, 2}, {0, 2}
    assert metrics == pytest.approx(
        {
            'label-set/O-P_top2': 50,
            'label-set/O-R_top2': 200 / 3,
            'label-set/set-size_top2': 2,
        }
    )


def test_threshold_alone_and_among_the_k_best():
    samples = [make_sample([], [0, 1], SCORES), make_sample([], [2], [0.1, 0.5, 0.4, 0.3])]
    # at 0.5: {0, 2} and {1}; of the best one: {0} and {1}
    options = dict(thr=0.5, items=['O-P', 'set-size'])
    assert evaluate(samples, **options) == {
        'label-set/O-P_thr-0.50': pytest.approx(100 / 3),
        'label-set/set-size_thr-0.50': 1.5,
    }
    assert evaluate(samples, topk=1, **options) == {
        'label-set/O-P_top1_thr-0.50': 50,
        'label-set/set-size_top1_thr-0.50': 1,
    }
    assert evaluate(samples, topk=1, thr=0.6, items=['set-size']) == {
        'label-set/set-size_top1_thr-0.60': 0.5
    }
    everything = evaluate(samples, thr=0.5, classwise=True)
    assert 'label-set/recall_thr-0.50_classwise' in everything
    assert 'label-set/repeated_thr-0.50' not in everything


def test_both_kinds_fit_into_one_evaluator():
    evaluator = Evaluator(metrics=[LabelSetMetric(), LabelSetMetric(topk=1)])
    evaluator.process([make_sample([0], [0], SCORES)])
    metrics = evaluator.evaluate(1)
    assert 'label-set/C-F1' in metrics and 'label-set/C-F1_top1' in metrics
    assert 'label-set/repeated_top1' not in metrics


def test_repeated_label_counts_once_and_is_reported():
    samples = [make_sample([2, 0, 2], [0, 2], SCORES)] + [make_sample([0], [0], SCORES)] * 3
    metrics = evaluate(samples)
    assert metrics['label-set/repeated'] == 25
    assert metrics['label-set/repeated-labels'] == pytest.approx(100 / 6)  # 2, 0, 2, 0, 0, 0
    assert metrics['label-set/exact-match'] == 100  # a summed one-hot would be 2 and miss
    assert metrics['label-set/set-size'] == 1.25


def test_num_classes_from_score_sample_or_argument():
    sample, item = make_sample([1], [1]), ['C-P']
    with pytest.raises(ValueError, match='give num_classes'):
        evaluate([sample])
    assert evaluate([sample], num_classes=4, items=item) == {'label-set/C-P': 25}
    assert evaluate([make_sample([1], [1], num_classes=8)], items=item) == {'label-set/C-P': 12.5}
    assert evaluate([make_sample([1], [1], SCORES)], items=item) == {'label-set/C-P': 25}


def test_end_token_in_a_path_is_an_error():
    with pytest.raises(ValueError, match=r'label 4 is not in \[0, 4\)'):
        evaluate([make_sample([0, 4], [0], SCORES)])


def test_gt_score_as_in_the_host_comes_before_gt_label():
    sample = make_sample([2], [0], SCORES).set_gt_score(torch.tensor([0, 0, 1, -1]))
    assert evaluate([sample], items=['exact-match']) == {'label-set/exact-match': 100}
    del sample.gt_label
    assert evaluate([sample], items=['exact-match']) == {'label-set/exact-match': 100}


def test_difficult_labels():
    samples = [
        make_sample([0, 1], [0], SCORES, gt_label_difficult=[1]),
        make_sample([1], [1], SCORES, gt_label_difficult=[1]),  # also seen as not difficult
    ]
    item = ['O-P', 'O-R']
    metrics = evaluate(samples, items=item)
    assert metrics == {'label-set/O-P': pytest.approx(200 / 3), 'label-set/O-R': 100}
    metrics = evaluate(samples, items=item, ignore_difficult=True)
    assert metrics == {'label-set/O-P': 100, 'label-set/O-R': 100}
    with pytest.raises(ValueError, match='meta_keys'):
        evaluate([make_sample([0], [0], SCORES)], ignore_difficult=True)


def test_classwise_and_skip_absent():
    samples = [make_sample([0, 1], [0], SCORES), make_sample([], [0], SCORES)]
    metrics = evaluate(samples, classwise=True, skip_absent=True, items=['C-P', 'C-R'])
    assert metrics == {
        'label-set/C-P': 100,
        'label-set/C-R': 50,
        'label-set/precision_classwise': [100, 0, 0, 0],
        'label-set/recall_classwise': [50, 0, 0, 0],
        'label-set/f1-score_classwise': pytest.approx([200 / 3, 0, 0, 0]),
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(topk=0), 'topk is 0'),
        (dict(items=['mAP']), r"unknown items \['mAP'\]"),
        (dict(topk=3, items=['repeated']), "'repeated' is counted .* leave it out"),
        (dict(topk=3, items=['repeated-labels']), "'repeated-labels' is counted"),
        (dict(thr=0.5, items=['repeated']), 'leave it out'),
        (dict(bootstrap=-5), 'bootstrap is -5'),
        (dict(bootstrap=10, confidence=95), 'confidence is 95'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        LabelSetMetric(**options)


def test_missing_fields_are_named():
    with pytest.raises(ValueError, match='no pred_label'):
        evaluate([DataSample().set_gt_label([0]).set_pred_score(torch.rand(4))])
    with pytest.raises(ValueError, match='neither gt_score nor gt_label'):
        evaluate([DataSample().set_pred_label([0]).set_pred_score(torch.rand(4))])


@pytest.mark.parametrize('topk', [None, 3])
def test_agrees_with_the_host_on_its_own_head(topk):
    torch.manual_seed(0)
    head = MultiLabelLinearClsHead(num_classes=6, in_channels=8)
    truth = torch.rand(40, 6) > 0.7
    samples = [DataSample().set_gt_label(row.nonzero().flatten()) for row in truth]
    assert any(len(sample.gt_label) == 0 for sample in samples)
    with torch.no_grad():
        head.predict((4 * torch.randn(40, 8),), samples)
    evaluator = Evaluator(
        metrics=[
            LabelSetMetric(topk=topk),
            MultiLabelMetric(topk=topk, thr=0.5 if topk is None else None),
            MultiLabelMetric(topk=topk, thr=0.5 if topk is None else None, average='micro'),
        ]
    )
    evaluator.process(samples)
    metrics = evaluator.evaluate(40)
    if topk is None:  # the head's own threshold is the host metric's
        again = evaluate(samples, thr=0.5)
        assert again['label-set/C-F1_thr-0.50'] == metrics['label-set/C-F1']
    end = '' if topk is None else f'_top{topk}'
    pairs = {
        'C-P': f'precision{end}',
        'C-R': f'recall{end}',
        'mean-class-F1': f'f1-score{end}',
        'O-P': f'precision{end}_micro',
        'O-R': f'recall{end}_micro',
        'O-F1': f'f1-score{end}_micro',
    }
    for ours, theirs in pairs.items():
        expected = metrics[f'multi-label/{theirs}']
        assert metrics[f'label-set/{ours}{end}'] == pytest.approx(expected, abs=1e-3), ours


def test_inside_the_host_multi_task_metric():
    def make_task_sample(scene, thing, has_thing=True):
        sample = MultiTaskDataSample()
        for name, (pred, gt), kept in (('scene', scene, True), ('thing', thing, has_thing)):
            sub = make_sample(pred, gt, SCORES)
            sub.set_field(kept, 'eval_mask', field_type='metainfo')
            sample.set_field(sub, name)
        return sample

    metric = MultiTasksMetric(
        task_metrics={
            'scene': [dict(type=LabelSetMetric, items=['O-P'])],
            'thing': [dict(type=LabelSetMetric, items=['O-P', 'exact-match'])],
        }
    )
    samples = [
        make_task_sample(([0], [0]), ([1, 2], [1])),
        make_task_sample(([1], [0]), ([3], [0]), has_thing=False),
    ]
    metric.process(None, [sample.to_dict() for sample in samples])
    assert metric.evaluate(2) == {
        'scene_label-set/O-P': 50,
        'thing_label-set/O-P': 50,  # the second image has no such task
        'thing_label-set/exact-match': 0,
    }


def test_built_from_a_config():
    metric = METRICS.build(dict(type='LabelSetMetric', topk=3, prefix='k3'))
    assert isinstance(metric, LabelSetMetric) and metric.prefix == 'k3'


def test_results_are_small_plain_values():
    metric = LabelSetMetric()
    metric.process(None, [make_sample([1], [1], SCORES).to_dict()])
    assert metric.results == [dict(pred=[1], gt=[1], length=1, repeats=0, num_classes=4)]
    assert labels_to_sets([metric.results[0]['pred']], 4).sum() == 1


def random_samples(num_images=40, num_classes=6):
    torch.manual_seed(0)
    pred, target = torch.rand(2, num_images, num_classes) > 0.6
    pred[:8] = target[:8]
    scores = (
        torch.rand(num_images, num_classes) + (target.sum(1, keepdim=True) == 2) * target
    ).tolist()
    return [
        make_sample(one.nonzero().flatten().tolist(), two.nonzero().flatten().tolist(), three)
        for one, two, three in zip(pred, target, scores, strict=True)
    ]


@pytest.mark.parametrize('topk', [None, 2])
def test_intervals_stand_behind_each_score(topk):
    samples = random_samples()
    plain = evaluate(samples, topk=topk)
    metrics = evaluate(samples, topk=topk, bootstrap=200)
    names = [name + end for name in plain for end in ('', '_low', '_high')]
    assert list(metrics) == names
    for name, value in plain.items():
        assert metrics[name] == pytest.approx(value)
        low, high = metrics[f'{name}_low'], metrics[f'{name}_high']
        assert 0 <= low <= value + 1e-9 and value <= high + 1e-9, name
        if 'repeated' not in name and name != 'label-set/set-size_top2':
            assert high - low > 0.05, name  # these two are the same in each image
    wide = evaluate(samples, topk=topk, bootstrap=200, confidence=0.99)
    other = evaluate(samples, topk=topk, bootstrap=200, seed=1)
    end = '' if topk is None else '_top2'
    assert wide[f'label-set/C-F1{end}_low'] < metrics[f'label-set/C-F1{end}_low']
    assert other[f'label-set/C-F1{end}_low'] != metrics[f'label-set/C-F1{end}_low']


def test_intervals_do_not_depend_on_the_order_of_the_images():
    samples = random_samples()
    metrics = evaluate(samples, bootstrap=50)
    assert evaluate(samples, bootstrap=50) == metrics
    assert evaluate(samples[::-1], bootstrap=50) == metrics


def test_interval_of_a_perfect_score_ends_at_100():
    samples = [make_sample([0], [0], SCORES)] * 5 + [make_sample([1, 2, 3], [1, 2, 3], SCORES)] * 5
    metrics = evaluate(samples, bootstrap=50, skip_absent=True)
    assert metrics['label-set/C-F1_low'] == metrics['label-set/C-F1_high'] == 100
    assert 1 <= metrics['label-set/set-size_low'] < 2 < metrics['label-set/set-size_high'] <= 3
