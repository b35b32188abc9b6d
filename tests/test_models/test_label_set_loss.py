# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, SequenceLoss, Vocabulary
from cnnrnn_mm.models.decoders import BatchScorer, ChainDecoder, LabelDecoder
from cnnrnn_mm.models.losses.label_set_loss import LabelSetLoss
from cnnrnn_mm.models.losses.order_free import draw_orders
from cnnrnn_mm.search import set_log_probs

C, F, D, H = 8, 7, 5, 8
END, START = 8, 9
LABELS = ([4, 0, 3], [], [1], [3, 2], [5, 1, 0, 2], [0])
SETS = st.permutations(range(C)).flatmap(lambda p: st.integers(0, 4).map(lambda n: p[:n]))


def lists(labels):
    return [torch.tensor(one, dtype=torch.long) for one in labels]


def build_scorer(num_images, seed=0, share_prefixes=True, dropout=0.0):
    torch.manual_seed(seed)
    decoder = LabelDecoder(Vocabulary(C), F, D, H, dropout=dropout)
    for weights in decoder.parameters():
        torch.nn.init.normal_(weights, std=0.7)
    image = decoder.project_image(torch.randn(num_images, F)).detach()
    return BatchScorer(decoder, image, share_prefixes)


def path_log_prob(scorer, row, path, hidden=()):
    """One path, its steps looked up one by one."""
    scores = scorer.decoder(scorer.image[row : row + 1], torch.tensor([[START, *path]]))[0][0]
    scores = scores.detach().double()
    scores[:, list(hidden)] = -math.inf
    steps = scores.log_softmax(-1)
    return sum(float(steps[place, label]) for place, label in enumerate([*path, END]))


def set_log_prob(scorer, row, labels, hidden=()):
    """All orders, in plain Python."""
    orders = permutations(labels)
    return math.log(sum(math.exp(path_log_prob(scorer, row, path, hidden)) for path in orders))


def mean_loss(values):
    return -sum(values) / len(values)


@pytest.mark.parametrize('num_orders', [24, 100])
@pytest.mark.parametrize('share_prefixes', [True, False])
def test_exact_where_all_orders_are_taken(num_orders, share_prefixes):
    for seed in range(3):
        scorer = build_scorer(len(LABELS), seed, share_prefixes)
        found = LabelSetLoss(C, num_orders).compute(scorer, lists(LABELS))
        expected = mean_loss([set_log_prob(scorer, row, one) for row, one in enumerate(LABELS)])
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_exact_value_is_that_of_the_search():
    """`set_log_probs`, which knows nothing of losses, says the same."""
    scorer = build_scorer(len(LABELS))
    step, state = scorer.begin()
    start = torch.full((len(LABELS),), START)
    low, high = set_log_probs(step, state, start, C, LABELS)
    assert torch.equal(low, high)
    found = LabelSetLoss(C, 24).compute(scorer, lists(LABELS))
    torch.testing.assert_close(found, -low.mean())


def test_known_value():
    """Two labels in either order, with probabilities 0.1 and 0.3, and an empty set at 0.5."""
    loss = LabelSetLoss(C, 2)
    log_probs = torch.tensor([0.1, 0.3, 0.5]).double().log()
    value = loss(log_probs, torch.tensor([0, 0, 1]), torch.tensor([2, 0]))
    assert value.item() == pytest.approx(-(math.log(0.4) + math.log(0.5)) / 2)
    one = loss(log_probs[:1], torch.tensor([0]), torch.tensor([2]))
    assert one.item() == pytest.approx(-math.log(0.1) - math.log(2))
    half = LabelSetLoss(C, 2, loss_weight=0.5)
    assert half(log_probs, torch.tensor([0, 0, 1]), torch.tensor([2, 0])) == value / 2


def test_tiny_probabilities_do_not_vanish():
    log_probs = torch.tensor([-2000.0, -2001.0]).double()
    value = LabelSetLoss(C, 2)(log_probs, torch.tensor([0, 0]), torch.tensor([2]))
    assert value.item() == pytest.approx(2000 - math.log1p(math.exp(-1)), abs=1e-9)


@pytest.mark.parametrize('num_orders', [1, 2, 5])
def test_mean_probability_over_draws_is_that_of_the_set(num_orders):
    """Unbiased: whoever leaves out log n! or log K is off by a factor."""
    labels = [[5, 1, 0, 2]]
    scorer = build_scorer(1)
    torch.manual_seed(1)
    loss = LabelSetLoss(C, num_orders)
    drawn = [math.exp(-loss.compute(scorer, lists(labels)).item()) for _ in range(300)]
    exact = math.exp(set_log_prob(scorer, 0, labels[0]))
    spread = torch.tensor(drawn).std().item() / math.sqrt(len(drawn))
    assert abs(sum(drawn) / len(drawn) - exact) < 4 * spread
    assert spread < 0.15 * exact


def test_one_order_is_the_sequence_loss_but_for_the_correction():
    """Value by value log n! lower; the gradient the same, as log n! does not depend on weights."""
    scorer = build_scorer(len(LABELS))
    torch.manual_seed(3)
    orders, images = draw_orders([len(one) for one in LABELS], 1)
    assert images.tolist() == list(range(len(LABELS)))
    drawn = [
        [sorted(one)[place] for place in order[: len(one)]]
        for one, order in zip(LABELS, orders.tolist(), strict=True)
    ]
    torch.manual_seed(3)
    found = LabelSetLoss(C, 1).compute(scorer, lists(LABELS))
    plain = SequenceLoss(C).compute(scorer, lists(drawn))
    correction = sum(math.log(math.factorial(len(one))) for one in LABELS) / len(LABELS)
    assert found.item() == pytest.approx(plain.item() - correction, rel=1e-5)
    weights = list(scorer.decoder.recurrent.parameters())
    for one, other in zip(
        torch.autograd.grad(found, weights), torch.autograd.grad(plain, weights), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_gradient_against_differences():
    scorer = build_scorer(len(LABELS))
    decoder = scorer.decoder.double()
    image = scorer.image.double().requires_grad_()

    def value(image):
        return LabelSetLoss(C, 24).compute(BatchScorer(decoder, image), lists(LABELS))

    value(image).backward()
    for row, column in ((0, 1), (4, 3), (5, 0)):
        moved = torch.zeros_like(image)
        moved[row, column] = 1e-2
        slope = (value(image + moved) - value(image - moved)).item() / 2e-2
        assert slope == pytest.approx(image.grad[row, column].item(), rel=0.02, abs=1e-4)


@pytest.mark.parametrize('num_orders', [1, 4, 24])
def test_the_given_order_does_not_matter(num_orders):
    """The same seed gives the same value, whatever the annotation's order."""
    labels = [*LABELS, [7, 6, 5, 4, 3, 2, 1, 0]]
    scorer = build_scorer(len(labels))
    values = []
    for turned in (labels, [one[::-1] for one in labels], [one[1:] + one[:1] for one in labels]):
        torch.manual_seed(5)
        values.append(LabelSetLoss(C, num_orders).compute(scorer, lists(turned)))
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    if num_orders == 24:  # the longest is drawn; another seed draws others
        assert not torch.equal(LabelSetLoss(C, 24).compute(scorer, lists(labels)), values[0])


@given(labels=st.lists(SETS, min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_a_batch_is_the_mean_of_its_images(labels, seed):
    scorer = build_scorer(len(labels), seed)
    loss = LabelSetLoss(C, 24)
    alone = [
        loss.compute(BatchScorer(scorer.decoder, scorer.image[[row]]), lists([one]))
        for row, one in enumerate(labels)
    ]
    torch.testing.assert_close(
        loss.compute(scorer, lists(labels)), torch.stack(alone).mean(), rtol=1e-5, atol=1e-5
    )


def test_ignored_labels_do_not_compete():
    ignored = [[1, 4], [0, 2], [], [5], [3], [1, 2, 3, 4, 5]]  # label 4 of the first is true
    scorer = build_scorer(len(LABELS))
    found = LabelSetLoss(C, 24).compute(scorer, lists(LABELS), lists(ignored))
    values = [
        set_log_prob(scorer, row, one, [x for x in ignored[row] if x not in one])
        for row, one in enumerate(LABELS)
    ]
    assert found.item() == pytest.approx(mean_loss(values), rel=1e-5)
    without = LabelSetLoss(C, 24).compute(scorer, lists(LABELS))
    assert found.item() < without.item() - 1e-3
    nothing = LabelSetLoss(C, 24).compute(scorer, lists(LABELS), lists([[]] * len(LABELS)))
    torch.testing.assert_close(nothing, without)


def test_one_call_scores_all_orders():
    scorer = build_scorer(len(LABELS))
    calls = []
    real = scorer.decoder.score_sequences

    def count(image, tokens, valid):
        calls.append((len(tokens), int(valid.sum())))
        return real(image, tokens, valid)

    scorer.decoder.score_sequences = count
    LabelSetLoss(C, 6).compute(scorer, lists(LABELS))
    paths = [min(6, math.factorial(len(one))) for one in LABELS]  # 6, 1, 1, 2, 6, 1
    steps = sum(count * (len(one) + 1) for count, one in zip(paths, LABELS, strict=True))
    assert calls == [(sum(paths), steps)]


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(1, 30))
@settings(max_examples=60)
def test_orders_are_permutations_and_distinct(lengths, num_orders):
    orders, images = draw_orders(lengths, num_orders)
    longest = max(lengths)
    counts = [min(num_orders, math.factorial(length)) for length in lengths]
    assert images.tolist() == [row for row, count in enumerate(counts) for _ in range(count)]
    assert orders.shape == (sum(counts), longest)
    for row, length in enumerate(lengths):
        drawn = [tuple(one) for one in orders[images == row].tolist()]
        for one in drawn:
            assert sorted(one[:length]) == list(range(length))
            assert one[length:] == tuple(range(length, longest))
        if length <= 6:
            assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize('length', [3, 7])
def test_each_order_is_as_likely(length):
    """The first two places of 6,000 draws; both ways to draw."""
    torch.manual_seed(0)
    orders, _ = draw_orders([length] * 3000, 2)
    assert len(orders) == 6000
    found = Counter(tuple(one[:2]) for one in orders.tolist())
    pairs = length * (length - 1)
    assert len(found) == pairs
    expected = 6000 / pairs
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in found.values())


def test_draws_come_from_the_seed():
    lengths = [3, 5, 8, 0]
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first = draw_orders(lengths, 4)[0]
    assert not torch.equal(draw_orders(lengths, 4)[0], first)
    torch.set_rng_state(state)
    assert torch.equal(draw_orders(lengths, 4)[0], first)


@pytest.mark.parametrize('num_orders', [1, 3])
def test_through_the_head_and_with_dropout(num_orders):
    torch.manual_seed(0)
    options = dict(type=LabelSetLoss, num_orders=num_orders)
    head = CNNRNNHead(C, F, D, H, dropout=0.5, loss=options, ignore_difficult=True)
    samples = [
        DataSample(metainfo=dict(gt_label_difficult=[5])).set_gt_label(one) for one in lists(LABELS)
    ]
    value = head.loss((torch.randn(len(LABELS), F),), samples)['loss']
    value.backward()
    assert value.isfinite() and value.dim() == 0 and value.dtype == torch.float
    assert head.decoder.image_projection.weight.grad.isfinite().all()
    assert not [name for name in head.state_dict() if name.startswith('loss_module')]


def test_the_sets_become_probable():
    labels = [[0, 1, 2], [3, 4], [], [5]]
    scorer = build_scorer(4)
    decoder, image = scorer.decoder, scorer.image
    before = [math.exp(set_log_prob(scorer, row, one)) for row, one in enumerate(labels)]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    loss = LabelSetLoss(C, 2)
    for _ in range(150):
        optimizer.zero_grad()
        loss.compute(BatchScorer(decoder, image), lists(labels)).backward()
        optimizer.step()
    probabilities = [math.exp(set_log_prob(scorer, row, one)) for row, one in enumerate(labels)]
    assert max(before) < 0.2 < 0.5 < min(probabilities)


def test_refusals():
    with pytest.raises(UsageError, match='num_orders is 0: set it to 1 or more'):
        LabelSetLoss(C, 0)
    with pytest.raises(UsageError, match='no option label_smoothing, end_weight'):
        LabelSetLoss(C, 2, label_smoothing=0.1, end_weight=0.5)
    with pytest.raises(UsageError, match='label 2 comes twice in image 1'):
        LabelSetLoss(C, 6).compute(build_scorer(2), lists([[1, 3, 4], [2, 0, 2]]))
    chain = BatchScorer(ChainDecoder(Vocabulary(C), F), torch.zeros(1, C))
    with pytest.raises(UsageError, match='LabelSetLoss learns others: use SequenceLoss'):
        LabelSetLoss(C).compute(chain, lists([[1]]))
