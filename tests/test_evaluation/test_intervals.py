# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.evaluation.metrics.intervals import with_intervals


def of_sums(scale, start):
    """Scores that move with how often the first of 4 images is drawn; as it is, once."""
    return lambda values: (
        lambda weights: {name: start + scale * weights[0].double() for name in ('C-F1', 'set-size')}
    )


def test_ends_stay_within_what_the_score_can_be():
    columns = [torch.arange(4)]
    # scores of 90 + 20 n - 20: 90 as it is, and 70 to 150 in resamples
    metrics = with_intervals(of_sums(20.0, 70.0), columns, ['C-F1', 'set-size'], bootstrap=400)
    assert metrics['C-F1'] == metrics['set-size'] == 90
    assert metrics['C-F1_high'] == 100 < metrics['set-size_high']  # a size has no upper limit
    assert metrics['C-F1_low'] == metrics['set-size_low'] < 75
    # 5 as it is, and -15 to 65 in resamples
    metrics = with_intervals(of_sums(20.0, -15.0), columns, ['C-F1', 'set-size'], bootstrap=400)
    assert metrics['C-F1_low'] == metrics['set-size_low'] == 0


def test_names_and_the_plain_score():
    columns = [torch.arange(4)]
    plain = with_intervals(of_sums(1.0, 0.0), columns, ['C-F1'], suffix='_top3')
    assert plain == {'C-F1_top3': 1}
    metrics = with_intervals(of_sums(1.0, 0.0), columns, ['C-F1'], bootstrap=9, suffix='_top3')
    assert list(metrics) == ['C-F1_top3', 'C-F1_top3_low', 'C-F1_top3_high']
    assert metrics['C-F1_top3'] == 1


def test_images_are_put_in_an_order_of_their_own():
    columns = torch.tensor([3, 1, 2]), torch.tensor([30.0, 10.0, 20.0])
    seen = []

    def make(*columns):
        seen.append([column.tolist() for column in columns])
        return lambda weights: {'C-F1': weights[0].double()}

    expected = with_intervals(make, columns, ['C-F1'], bootstrap=9)
    shuffled = [column[[2, 0, 1]] for column in columns]
    assert with_intervals(make, shuffled, ['C-F1'], bootstrap=9) == pytest.approx(expected, abs=0)
    assert seen[0] == seen[1] and sorted(seen[0][0]) == [1, 2, 3]
    assert [10 * one for one in seen[0][0]] == seen[0][1]  # all columns alike
