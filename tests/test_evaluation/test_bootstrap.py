# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from cnnrnn_mm.evaluation.functional import bootstrap as module
from cnnrnn_mm.evaluation.functional import (
    bootstrap_scores,
    canonical_order,
    centred_intervals,
    check_bootstrap,
    draw_weights,
    label_set_scores,
    label_set_statistic,
    mean_over_classes,
    rank_classes,
    ranked_average_precision,
)
from cnnrnn_mm.evaluation.functional.bootstrap import sum_weights


def draws(num_images, num_resamples, seed):
    """The images of each resample, one after the other, as draw_weights draws them."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_resamples):
        yield torch.randint(num_images, (num_images,), generator=generator)


def mean_statistic(values):
    return lambda weights: {'mean': values.double() @ weights.double() / len(values)}


@pytest.mark.parametrize('width', [1, 3, 20])
def test_weights_count_the_draws_whatever_the_width(width):
    parts = list(draw_weights(7, 20, seed=5, width=width))
    assert max(part.shape[1] for part in parts) == width
    weights = torch.cat(parts, dim=1)
    assert weights.shape == (7, 20)
    for column, images in zip(weights.T, draws(7, 20, seed=5), strict=True):
        assert column.tolist() == [(images == image).sum() for image in range(7)]
    assert not torch.equal(weights, next(draw_weights(7, 20, seed=6, width=20)))


def test_draws_leave_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    list(draw_weights(5, 4, seed=0, width=4))
    assert torch.rand(1) == expected


@pytest.mark.parametrize('skip_absent', [False, True])
def test_label_set_scores_equal_a_loop_over_resampled_images(monkeypatch, skip_absent):
    monkeypatch.setattr(module, 'MAX_ENTRIES', 30 * 7)  # several matrices of weights
    pred, target = torch.rand(30, 5) > 0.6, torch.rand(30, 5) > 0.7
    target[:, 4] = False
    target[0, 4] = True  # in some resamples this class has no positives
    statistic = label_set_statistic(pred, target, skip_absent=skip_absent)
    scores = bootstrap_scores(statistic, 30, 40, seed=2)
    for number, images in enumerate(draws(30, 40, seed=2)):
        expected = label_set_scores(pred[images], target[images], skip_absent)
        got = {name: values[number].item() for name, values in scores.items()}
        assert got == pytest.approx(expected, abs=1e-9)
        macro = f1_score(target[images].int(), pred[images].int(), average=None, zero_division=0)
        present = target[images].any(0).numpy() | (not skip_absent)
        assert got['mean-class-F1'] == pytest.approx(100 * macro[present].mean(), abs=1e-6)


def test_mean_average_precision_equals_a_loop_over_resampled_images():
    scores, target = torch.randint(6, (25, 4)).float(), torch.rand(25, 4) > 0.8
    ranking = list(rank_classes(scores, target))

    def statistic(weights):
        values = ranked_average_precision(ranking, weights, ['area'])['area']
        return {'mAP': mean_over_classes(values, skip_absent=True)}

    got = bootstrap_scores(statistic, 25, 40, seed=1)['mAP']
    for value, images in zip(got.tolist(), draws(25, 40, seed=1), strict=True):
        columns = zip(target[images].T.numpy(), scores[images].T.numpy(), strict=True)
        of_classes = [average_precision_score(*one) for one in columns if one[0].any()]
        assert value == pytest.approx(100 * np.mean(of_classes), abs=1e-6)


def test_interval_of_a_share_is_the_binomial_one():
    # 400 images, 60 % right: the normal interval is 60 +- 1.96 * 100 sqrt(0.6 * 0.4 / 400)
    values = torch.tensor([100.0] * 240 + [0.0] * 160)
    resampled = bootstrap_scores(mean_statistic(values), 400, 4000)
    low, high = centred_intervals(resampled, {'mean': 60.0})['mean']
    half = 196 * math.sqrt(0.6 * 0.4 / 400)  # 4.80
    assert low == pytest.approx(60 - half, abs=0.3)
    assert high == pytest.approx(60 + half, abs=0.3)
    narrow = centred_intervals(resampled, {'mean': 60.0}, confidence=0.68)['mean']
    assert narrow[1] - narrow[0] == pytest.approx(2 * half / 1.96, rel=0.08)


def test_intervals_of_fresh_splits_hold_the_true_share():
    # 200 splits of 100 images, 70 % right on average. If 95 % of the intervals hold that, 190 of
    # 200 do, with a standard deviation of 3.1; the bootstrap of a share is a little narrow.
    generator = torch.Generator().manual_seed(0)
    held = 0
    for seed in range(200):
        values = 100.0 * (torch.rand(100, generator=generator) < 0.7)
        resampled = bootstrap_scores(mean_statistic(values), 100, 200, seed)
        low, high = centred_intervals(resampled, {'mean': values.mean()})['mean']
        held += low <= 70 <= high
    assert 178 <= held <= 197


def test_intervals_of_rare_classes_hold_the_score():
    """Each of 20 classes has one image, which 37 % of the resamples lack and count as 0."""
    target = torch.zeros(200, 21, dtype=torch.bool)
    target[:, 20] = True
    target[torch.arange(20), torch.arange(20)] = True
    statistic = label_set_statistic(target, target)
    resampled = bootstrap_scores(statistic, 200, 500)
    score = statistic(torch.ones(200, 1))['C-R'].item()
    assert score == 100 and np.quantile(resampled['C-R'].numpy(), 0.975) < 90
    low, high = centred_intervals(resampled, dict.fromkeys(resampled, score))['C-R']
    assert low < score < high


def test_intervals_are_quantiles_around_the_score():
    # deviations from the mean 3: -2, -1, 0, 1, 2; their quartiles are -1 and 1
    resampled = {'x': torch.tensor([5.0, 1.0, 2.0, 4.0, 3.0])}
    assert centred_intervals(resampled, {'x': 10.0}, confidence=0.5) == {'x': (9.0, 11.0)}


def test_sums_of_segments_are_exact():
    images, starts = torch.tensor([3, 0, 3, 1]).int(), torch.tensor([0, 2, 2, 4]).int()
    weights = torch.tensor([[1.0], [2.0], [0.0], [2.0**24 - 1]])
    expected = [[2.0**24], [0], [2.0**24 + 1]]  # the last is no float32
    got = sum_weights(images, starts, weights)
    assert got.dtype == torch.float64 and got[:2].tolist() == expected[:2]
    assert sum_weights(images, starts, weights.double()).tolist() == expected


def test_canonical_order_depends_on_the_content_alone():
    columns = (torch.rand(50, 3).round(decimals=1), torch.rand(50, 2) > 0.5, torch.arange(50) // 2)
    order = torch.randperm(50)
    shuffled = [column[order] for column in columns]
    ours, theirs = canonical_order(*columns), canonical_order(*shuffled)
    assert sorted(ours.tolist()) == list(range(50))
    for column, other in zip(columns, shuffled, strict=True):
        assert torch.equal(column[ours], other[theirs])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ((-1, 0.95), 'bootstrap is -1'),
        ((0.5, 0.95), r'bootstrap is 0\.5'),
        ((1000, 95), 'a share such as 0.95'),
        ((1000, 0), 'a share such as 0.95'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        check_bootstrap(*options)
