# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
from itertools import combinations

import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, SetDecision
from cnnrnn_mm.models.postprocessors.decisions import Decoded
from cnnrnn_mm.search import SearchResult

C, F, N = 4, 6, 12
SUBSETS = [frozenset(one) for size in range(C + 1) for one in combinations(range(C), size)]
FEATURES = torch.randn(N, F, generator=torch.Generator().manual_seed(5))


def build(**postprocessor):
    torch.manual_seed(0)
    head = CNNRNNHead(
        C, F, embed_dims=5, hidden_dims=7, recurrent='gru', dropout=0.0, activation='identity',
        decoder=dict(type='ChainDecoder'), marginal=dict(),
        postprocessor=dict(type='BestFirstPostprocessor', num_paths=16, **postprocessor),
    )  # fmt: skip
    with torch.no_grad():
        head.decoder.classifier.weight.normal_()
        head.marginal_branch.classifier.weight.mul_(3)
    head.set_training_order('frequent_first', range(C))
    return head.eval()


def predict(head, **constraints):
    return head.predict((FEATURES,), constraints=constraints or None)


def distribution(sample):
    """P of every label set; the search finds them all."""
    found = {
        frozenset(path): math.exp(value)
        for path, value in zip(sample.pred_paths, sample.pred_path_log_probs.tolist(), strict=True)
    }
    assert len(found) == 16 and sum(found.values()) == pytest.approx(1, abs=1e-4)
    return found


def f1(one, other):
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def test_expected_f1_decision_is_the_best_of_all_sets():
    head, plain = build(decision=dict(type='ExpectedF1Decision', num_samples=4000)), build()
    differs = 0
    for sample, path in zip(predict(head), predict(plain), strict=True):
        probabilities = distribution(sample)
        values = {
            answer: sum(p * f1(answer, truth) for truth, p in probabilities.items())
            for answer in SUBSETS
        }
        chosen = frozenset(sample.pred_label.tolist())
        assert values[chosen] >= max(values.values()) - 2e-3
        assert values[chosen] >= values[frozenset(path.pred_label.tolist())] - 2e-3
        differs += chosen != frozenset(path.pred_label.tolist())
    assert differs > 0


def test_expected_f1_decision_keeps_to_known_labels():
    head = build(decision=dict(type='ExpectedF1Decision'))
    for sample in predict(head, required=[3], forbidden=[0]):
        assert 3 in sample.pred_label.tolist() and 0 not in sample.pred_label.tolist()


FOUND = [
    {(): 0.3, (0, 1): 0.2, (1, 0): 0.19, (2,): 0.1},  # two orders of one set
    {(): 0.3, (1, 0): 0.2, (2,): 0.1, (3, 1): 0.05},  # one of two orders was found
    {(2, 0, 1): 0.02, (3,): 0.1},  # one of six
    {(): 0.5},
]


@pytest.mark.parametrize(
    ('correct', 'expected'),
    [(False, [[0, 1], [], [3], []]), (True, [[0, 1], [1, 0], [2, 0, 1], []])],
)
def test_set_decision_adds_up_the_orders_that_were_found(correct, expected):
    paths, lengths = torch.full((4, 4, 3), -1), torch.zeros(4, 4, dtype=torch.long)
    log_probs = torch.full((4, 4), -torch.inf)
    for row, found in enumerate(FOUND):
        ranked = sorted(found.items(), key=lambda one: -one[1])
        for place, (path, probability) in enumerate(ranked):
            paths[row, place, : len(path)] = torch.tensor(path, dtype=torch.long)
            lengths[row, place], log_probs[row, place] = len(path), math.log(probability)
    nothing = torch.zeros(4, C)
    result = SearchResult(
        paths, lengths, log_probs, paths.float(), nothing, nothing, nothing, log_probs[:, 0],
        lengths[:, 0],
    )  # fmt: skip
    answers = SetDecision(correct)(Decoded(result, nothing, None))
    assert [one.tolist() for one in answers] == expected


def test_threshold_decision_takes_the_scores_best_first():
    thr = 0.4
    for sample in predict(build(decision=dict(type='ThresholdDecision', thr=thr))):
        scores = sample.pred_score.tolist()
        expected = sorted((c for c in range(C) if scores[c] >= thr), key=lambda c: -scores[c])
        assert sample.pred_label.tolist() == expected
    each = [0.0, 2.0, 0.4, 2.0]
    for sample in predict(build(decision=dict(type='ThresholdDecision', thr=each))):
        labels = set(sample.pred_label.tolist())
        assert 0 in labels and not labels & {1, 3}
        assert (2 in labels) == (float(sample.pred_score[2]) >= 0.4)


@pytest.mark.parametrize('bias', [-1.5, 2.0])
def test_end_bias_changes_the_log_odds_of_end_at_every_step(bias):
    plain, biased = predict(build()), predict(build(end_bias=bias))
    for one, other in zip(plain, biased, strict=True):
        before, after = distribution(one), distribution(other)
        # The first step ends with P(empty set).
        odds = [math.log(p[frozenset()] / (1 - p[frozenset()])) for p in (before, after)]
        assert odds[1] - odds[0] == pytest.approx(bias, abs=1e-3)
        # What follows label 2, given that it came first: END or label 3.
        two, both = frozenset([2]), frozenset([2, 3])
        odds = [math.log(p[two] / p[both]) for p in (before, after)]
        assert odds[1] - odds[0] == pytest.approx(bias, abs=1e-3)


def test_paths_stay_whatever_is_decided():
    plain, decided = predict(build()), predict(build(decision=dict(type='ExpectedF1Decision')))
    for one, other in zip(plain, decided, strict=True):
        assert one.pred_paths == other.pred_paths
        assert one.pred_label.tolist() == one.pred_paths[0]
        torch.testing.assert_close(one.pred_score, other.pred_score)


def test_answers_do_not_depend_on_the_batch():
    head = build(decision=dict(type='ExpectedF1Decision', num_samples=64))
    together = predict(head)
    for row in range(N):
        (alone,) = head.predict((FEATURES[row : row + 1],))
        assert alone.pred_label.tolist() == together[row].pred_label.tolist()


def test_bad_input():
    with pytest.raises(UsageError, match='num_samples is 0'):
        build(decision=dict(type='ExpectedF1Decision', num_samples=0))
    with pytest.raises(UsageError, match='thr has 2 entries for 4 labels'):
        predict(build(decision=dict(type='ThresholdDecision', thr=[0.5, 0.5])))
    with pytest.raises(UsageError, match='thr is nan'):
        build(decision=dict(type='ThresholdDecision', thr=math.nan))
    with pytest.raises(UsageError, match='end_bias is inf'):
        build(end_bias=math.inf)
