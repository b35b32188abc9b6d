# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels of difficult objects, which are neither learnt nor held against the model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, SequenceLoss

C, END = 4, 4
LABELS = [[2, 0], [], [1]]
DIFFICULT = [[0, 3], [], [2]]  # label 0 of the first image is true as well: it stays


def tensors(lists):
    return [torch.tensor(one, dtype=torch.long) for one in lists]


def samples_of(labels=LABELS, difficult=DIFFICULT):
    return [
        DataSample(metainfo=dict(gt_label_difficult=hard)).set_gt_label(
            torch.tensor(one, dtype=torch.long)
        )
        for one, hard in zip(labels, difficult, strict=True)
    ]


def build(**options):
    torch.manual_seed(1)
    return CNNRNNHead(C, 6, embed_dims=5, hidden_dims=5, dropout=0.0, **options)


def plain_loss(scores, labels, ignored, smoothing, weight):
    """Each step renormalised over what competes, in plain Python."""
    total = 0.0
    for image, one in enumerate(labels):
        for step, target in enumerate([*one, END]):
            competing = [t for t in range(C + 1) if t not in ignored[image] or t == target]
            norm = math.log(sum(math.exp(scores[image][step][t]) for t in competing))
            for token in competing:
                share = smoothing / len(competing) + (1 - smoothing) * (token == target)
                total -= weight[token] * share * (scores[image][step][token] - norm)
    return total / len(labels)


@settings(max_examples=40, deadline=None)
@given(
    sets=st.lists(st.permutations(range(C)).flatmap(lambda p: st.tuples(
        st.just(p), st.integers(0, C), st.integers(0, C))), min_size=1, max_size=4),
    smoothing=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_loss_is_the_softmax_over_what_competes(sets, smoothing, seed):
    labels = [list(order[:count]) for order, count, _ in sets]
    ignored = [list(order[count:][:hidden]) for order, count, hidden in sets]
    weight = [0.5, 2.0, 1.0, 3.0, 0.7]
    loss = SequenceLoss(C, label_smoothing=smoothing, class_weight=weight[:C], end_weight=0.7)
    _, targets = loss.make_sequences(tensors(labels))
    scores = torch.randn(*targets.shape, C + 1, generator=torch.Generator().manual_seed(seed))
    hidden = loss.hidden_outputs(tensors(ignored), targets)
    expected = plain_loss(scores.tolist(), labels, ignored, smoothing, weight)
    assert float(loss(scores, targets, hidden)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_target_always_competes():
    loss = SequenceLoss(C)
    _, targets = loss.make_sequences(tensors([[1]]))
    hidden = loss.hidden_outputs(tensors([[0, 1, 2, 3]]), targets)
    assert hidden[0].tolist() == [
        [True, False, True, True, False],
        [True, True, True, True, False],
    ]


@pytest.mark.parametrize('share_prefixes', [True, False])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_scores_of_ignored_labels_do_not_reach_the_loss(share_prefixes, smoothing):
    """The output row of a label that is ignored everywhere gets no gradient; others do."""
    head = build(
        ignore_difficult=True, share_prefixes=share_prefixes, loss=dict(label_smoothing=smoothing)
    )
    features = torch.randn(2, 6)
    head.loss((features,), samples_of([[2], [1]], [[3], [3, 0]]))['loss'].backward()
    gradient = head.decoder.embedding.weight.grad
    assert gradient[3].abs().max() == 0 < gradient[0].abs().max()
    assert gradient.isfinite().all()


def test_without_the_option_difficult_labels_are_false_ones():
    features = torch.randn(3, 6)
    plain = build().loss((features,), samples_of())['loss']
    without = build().loss((features,), samples_of(difficult=[[], [], []]))['loss']
    ignoring = build(ignore_difficult=True).loss((features,), samples_of())['loss']
    nothing = build(ignore_difficult=True).loss((features,), samples_of(difficult=[[]] * 3))['loss']
    torch.testing.assert_close(plain, without)
    torch.testing.assert_close(plain, nothing)
    assert ignoring < plain - 1e-3  # fewer outputs share the probability


def test_labels_that_are_true_as_well_are_learnt():
    features = torch.randn(1, 6)
    head = build(ignore_difficult=True)
    both = head.loss((features,), samples_of([[2, 0]], [[0, 2]]))['loss']
    none = head.loss((features,), samples_of([[2, 0]], [[]]))['loss']
    torch.testing.assert_close(both, none)


def test_marginal_branch_leaves_them_out():
    head, features = build(ignore_difficult=True, marginal=dict(loss_weight=1.0)), torch.randn(3, 6)
    scores = head.marginal_branch.classifier(features).sigmoid().tolist()
    expected = -sum(
        math.log(p if label in LABELS[image] else 1 - p)
        for image, row in enumerate(scores)
        for label, p in enumerate(row)
        if label in LABELS[image] or label not in DIFFICULT[image]
    )
    loss = head.loss((features,), samples_of())['loss_marginal']
    assert float(loss.detach()) == pytest.approx(expected / 3, rel=1e-5)


@pytest.mark.parametrize('label', [-1, C])
def test_ids_that_are_no_classes_are_refused(label):
    with pytest.raises(UsageError, match=f'ignored label {label} is outside 0..3'):
        build(ignore_difficult=True).loss((torch.randn(1, 6),), samples_of([[1]], [[label]]))


def test_missing_key_names_the_remedy():
    sample = DataSample().set_gt_label(torch.tensor([1]))
    with pytest.raises(UsageError, match='add it to meta_keys of PackInputs'):
        build(ignore_difficult=True).loss((torch.randn(1, 6),), [sample])
