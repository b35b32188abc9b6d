# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the comparison of models computes, on hand-worked and brute-force cases."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from path_sums import all_sets, ids_of, path_log_prob, sets_log_probs
from sklearn.metrics import average_precision_score, f1_score
from tiny_run import ROOT
from torch.nn import functional

from cnnrnn_mm.models import CNNRNNHead


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))


def test_known_labels():
    from comparison.known import SETTINGS, draw_keys, reveal

    target = torch.rand(60, 9) < 0.4
    keys = draw_keys(60, 9, 1)
    given = {name: reveal(target, keys, name) for name in SETTINGS}
    sizes = target.sum(1)
    for name, (known, counted) in given.items():
        wanted = sizes // 2 if name == 'half' else torch.full_like(sizes, int(name))
        assert counted.tolist() == [
            n > k and (k > 0 or name == '0') for n, k in zip(sizes, wanted, strict=True)
        ]
        assert torch.equal(known.sum(1), wanted * counted) and not (known & ~target).any()
    both = given['2'][1]
    assert both.any() and not (given['1'][0] & ~given['2'][0])[both].any()
    other = reveal(target, draw_keys(60, 9, 2), '1')[0]
    assert not torch.equal(given['1'][0], other)
    # which labels are given does not depend on how the split is cut into batches
    assert torch.equal(reveal(target[20:], keys[20:], '2')[0], given['2'][0][20:])


def test_completion_by_hand():
    from comparison.figures import completion_scores

    scores = torch.tensor(
        [[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.9, 0.1, 0.2, 0.3]]
    )
    target, known = torch.zeros(3, 5, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool)
    target[0, [0, 1, 4]] = target[1, [0, 4]] = target[2, [1, 2]] = True
    known[0, 0] = known[1, 4] = known[2, 2] = True
    ignored = torch.zeros_like(target)
    # The rest: {1, 4}, {0}, {1}. Without the known one, the best three are 1 2 3, 3 2 1 and 1 0 4.
    # Class 0: image 0 is left out, image 2 stands before image 1: 1/2. Class 1: 0.8 and 0.9 are
    # the best two: 1. Class 4: image 1 is left out, 0.5 before 0.3: 1. The others have no positive.
    found = completion_scores(scores, target, known, ignored)
    assert found == pytest.approx((100 * (0.5 + 1 + 1) / 3, 100 * (0.5 + 0 + 1) / 3))


def test_the_threshold_is_the_best_of_all():
    from comparison.figures import choose_threshold
    from comparison.outputs import independent_outputs

    target = torch.tensor([[True, False], [True, False]])
    scores = torch.tensor([[0.8, 0.5], [0.5, 0.2]])  # equal scores come together
    outputs = independent_outputs(target, torch.zeros_like(target), scores.logit())
    assert choose_threshold(outputs) == pytest.approx(0.5)  # 2 of 3 right: F1 0.8
    outputs.ignored[1, 0] = True  # its 0.5 was right; the other one is wrong
    assert choose_threshold(outputs) == pytest.approx(0.8)
    outputs.target[:] = False
    assert choose_threshold(outputs) == choose_threshold(outputs, 'C-F1') == 2


@pytest.mark.parametrize('decoder', ['ChainDecoder', 'SkipDecoder'])
def test_paths_with_known_labels(decoder):
    from comparison.path_outputs import path_outputs

    head = CNNRNNHead(
        4, 6, embed_dims=8, hidden_dims=8, decoder=dict(type=decoder), marginal=dict(),
        postprocessor=dict(beam_size=3, marginal_share=0.25),
    ).eval()  # fmt: skip
    torch.manual_seed(2)
    for weight in head.decoder.parameters():
        torch.nn.init.normal_(weight, std=0.7)  # what was named before matters
    head.set_training_order('given', [2, 0, 3, 1])
    feats = (torch.randn(5, 6),)
    target = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    given = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    target, given = target.bool(), given.bool()
    options = dict(samples=4000, sample_seed=1, max_prefixes=720)
    known, nothing = {'1': given}, torch.zeros_like(given)
    with torch.no_grad():
        found = path_outputs(head, feats, target, nothing, known, options)
        branch = head.read_images(feats)[1].sigmoid()
    moved = 0.0
    for row in range(5):
        logs = all_sets(head, feats, row, [2, 0, 3, 1])
        assert float(found.log_prob[row]) == pytest.approx(logs[ids_of(target[row])], abs=1e-4)
        mass = {one: math.exp(value) for one, value in logs.items() if ids_of(given[row]) <= one}
        for label in range(4):
            share = sum(value for one, value in mass.items() if label in one) / sum(mass.values())
            wanted = 0.75 * share + 0.25 * float(branch[row, label])
            assert float(found.completion['1'][row, label]) == pytest.approx(wanted, abs=0.04)
            free = sum(math.exp(value) for one, value in logs.items() if label in one)
            moved = max(moved, abs(free - share) * (not given[row, label]))
    assert moved > 0.1  # the same without known labels would not do


ORDERS = ([2, 0, 3, 1], [0, 1, 2, 3], [3, 1, 0, 2])


@pytest.fixture(scope='module')
def mixed():
    """Three small heads with an order each, their outputs, and of each image all P(path of set)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))
        from comparison.path_outputs import path_outputs
    target = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    given = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    target, given = target.bool(), given.bool()
    options = dict(samples=4000, sample_seed=1, max_prefixes=720)
    torch.manual_seed(3)
    feats, heads, outputs, paths = (torch.randn(5, 6),), [], [], []
    for order in ORDERS:
        head = CNNRNNHead(
            4, 6, embed_dims=8, hidden_dims=8, decoder=dict(type='SkipDecoder'), marginal=dict(),
            postprocessor=dict(beam_size=5, constraints=dict(order='training')),
        ).eval()  # fmt: skip
        for weight in head.parameters():
            torch.nn.init.normal_(weight, std=0.7)
        head.set_training_order('given', order)
        with torch.no_grad():
            args = feats, target, torch.zeros_like(given), {'1': given}, options
            outputs.append(path_outputs(head, *args))
        heads.append(head)
        paths.append([sets_log_probs(head, feats, row, order) for row in range(5)])
    return feats, heads, outputs, paths, given


def test_mixture_of_orders(mixed):
    from comparison.mixture import mix_models

    feats, heads, outputs, paths, given = mixed
    found = mix_models(outputs)
    sets = list(paths[0][0])
    answers, moved = 0, 0.0
    for row in range(5):
        each = np.array([[math.exp(one[row][labels]) for labels in sets] for one in paths])
        answer = ids_of(found.predicted[row])
        assert answer == sets[each.mean(0).argmax()]
        answers += any(answer != ids_of(one.predicted[row]) for one in outputs)
        true = ids_of(found.target[row])
        orders = [path_log_prob(head, feats, row, x) for head in heads for x in permutations(true)]
        wanted = np.logaddexp.reduce(orders) - math.log(3)
        assert float(found.log_prob[row]) == pytest.approx(wanted, abs=1e-4)
        allowed = each / each.sum(1, keepdims=True)
        value = [np.mean(allowed, 0) @ [f1_of(one, other) for other in sets] for one in sets]
        expected = value[sets.index(ids_of(found.expected[row]))]
        assert expected == pytest.approx(max(value), abs=0.01)
        has = np.array([[label in one for one in sets] for label in range(4)])
        told = allowed * [ids_of(given[row]) <= one for one in sets]
        share = has @ told.sum(0) / told.sum()
        assert found.completion['1'][row].numpy() == pytest.approx(share, abs=0.03)
        plain = np.mean([has @ one / one.sum() for one in told], 0)
        moved = max(moved, np.abs(plain - share).max())
    assert answers and moved > 0.06  # a plain mean, or one member's answer, would not do
    assert torch.allclose(found.scores, sum(one.scores for one in outputs) / 3)


def f1_of(one, other):
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def test_a_mixture_of_one_is_that_one(mixed):
    from comparison.mixture import mix_models

    (first, second, third), exact = mixed[2], ('scores', 'predicted', 'expected', 'target')
    for one, other in (
        (mix_models([first]), first),
        (mix_models([first, first]), first),
        (mix_models([first, second, third]), mix_models([third, first, second])),
    ):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in exact)
        assert torch.allclose(one.log_prob, other.log_prob)
        assert torch.allclose(one.completion['1'], other.completion['1'])


def test_packed_sets():
    from comparison.outputs import Outputs, pack_sets, unpack_sets

    sets = torch.rand(3, 5, 11) < 0.5
    packed = pack_sets(sets)
    assert packed.shape == (3, 5, 2) and torch.equal(unpack_sets(packed, 11), sets)
    one = random_outputs(1)
    one.samples, one.log_known = packed, {'1': torch.rand(3)}
    both = Outputs.joined([one, one])
    assert torch.equal(both.samples, torch.cat([packed] * 2)) and len(both.log_known['1']) == 6
    assert both.probable is None and both.completion == {}


def test_conditional_head():
    from comparison.conditional_head import ConditionalLabelHead, draw_subset

    target = torch.rand(2000, 5) < 0.5
    known = draw_subset(target)
    assert not (known & ~target).any()
    sizes = target.sum(1)
    for count in range(6):
        shares = known[sizes == 4].sum(1).eq(count).float().mean()
        assert float(shares) == pytest.approx(0.2 if count < 5 else 0, abs=0.06)
    head = ConditionalLabelHead(4, 6, hidden_dims=3)
    feats, labels = (torch.randn(2, 6),), [[0, 3], []]
    samples = [DataSample().set_gt_label(torch.tensor(one).long()) for one in labels]
    torch.manual_seed(3)
    loss = head.loss(feats, samples)['loss']
    torch.manual_seed(3)
    marks = torch.tensor([[True, False, False, True], [False] * 4])
    given = draw_subset(marks)
    logits = head(feats, given)
    each = functional.binary_cross_entropy_with_logits(logits, marks.float(), reduction='none')
    assert torch.allclose(loss, each[~given].sum() / 2)
    inputs = torch.cat([feats[0], given.float()], 1)
    assert torch.allclose(head.fc(head.hidden(inputs).relu()), logits)


def random_outputs(seed, flip=0.0):
    from comparison.outputs import independent_outputs

    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(25, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    logits = 2.0 * target - 1 + torch.randn(25, 6, generator=generator)
    return independent_outputs(target, torch.zeros_like(target), logits)


def test_rows_are_compared_on_the_same_images():
    from comparison.paired import PAIRED, compare, resample

    from cnnrnn_mm.evaluation.functional import draw_weights

    one, two, other = (random_outputs(seed) for seed in (1, 2, 3))
    row, base = resample([one, two], [0.4, 0.6], 40, 7), resample([other], [0.5], 40, 7)
    for figures in compare(row, row).values():
        assert figures == dict(difference=0, low=0, high=0)
    (weights,) = draw_weights(25, 40, 7, 40)
    for place in range(40):
        images = torch.arange(25).repeat_interleave(weights[:, place].long()).numpy()
        wanted = []
        for outputs, threshold in ((one, 0.4), (two, 0.6)):
            target = outputs.target.numpy()[images]
            tuned = outputs.scores.numpy()[images] >= threshold
            scores = zip(target.T, outputs.scores.numpy()[images].T, strict=True)
            ap = [average_precision_score(*pair) for pair in scores if pair[0].any()]
            example = f1_score(target, tuned, average='samples', zero_division=1)
            exact = (target == tuned).all(1).mean()
            wanted.append([np.mean(ap), f1_score(target, tuned, average='micro'), exact, example])
        found = [float(row[name][1][place]) for name in PAIRED]
        assert found == pytest.approx((100 * np.mean(wanted, 0)).tolist(), abs=1e-4)
    drawn = {name: (row[name][1] - base[name][1]).numpy() for name in PAIRED}
    for name, figures in compare(row, base).items():
        width = np.quantile(drawn[name], 0.975) - np.quantile(drawn[name], 0.025)
        assert figures['high'] - figures['low'] == pytest.approx(width)
        assert figures['low'] <= figures['difference'] <= figures['high']
        assert figures['difference'] == pytest.approx(row[name][0] - base[name][0])
