# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import WARPLoss

#: An image of eight labels, three of them true. One other violates a margin of 1 against the first
#: of these, four against the second, none against the third.
SCORES = [0.3, 2.0, 0.1, -0.95, 3.5, 0.9, -0.3, 1.2]
TRUE = [1, 0, 4]


def rank_weight(rank):
    return sum(1 / place for place in range(1, rank + 1))


def split(scores, true, margin=1.0):
    """For each true label: its score, the number of others, and the others that violate."""
    others = [label for label in range(len(scores)) if label not in true]
    for label in true:
        violators = [one for one in others if scores[one] > scores[label] - margin]
        yield scores[label], others, violators


def drawn_loss(scores, true, generator, margin=1.0, max_trials=None):
    """The published loop: draw until one violates."""
    total = 0.0
    for score, others, _ in split(scores, true, margin):
        trials, most = 0, len(others) if max_trials is None else min(max_trials, len(others))
        while trials < most:
            trials += 1
            drawn = scores[generator.choice(others)]
            if drawn > score - margin:
                total += rank_weight(len(others) // trials) * (margin - score + drawn)
                break
    return total


def expected_loss(scores, true, margin=1.0, max_trials=None):
    """Its mean, by enumeration of the number of draws."""
    total = 0.0
    for score, others, violators in split(scores, true, margin):
        if not violators:
            continue
        share = len(violators) / len(others)
        hinge = sum(margin - score + scores[one] for one in violators) / len(violators)
        most = len(others) if max_trials is None else min(max_trials, len(others))
        for trials in range(1, most + 1):
            chance = (1 - share) ** (trials - 1) * share
            total += chance * rank_weight(len(others) // trials) * hinge
    return total


def exact_loss(scores, true, margin=1.0):
    total = 0.0
    for score, _, violators in split(scores, true, margin):
        for one in violators:
            hinge = margin - score + scores[one]
            total += rank_weight(len(violators)) / len(violators) * hinge
    return total


def batch(copies, scores=SCORES, true=TRUE):
    target = torch.zeros(len(scores))
    target[true] = 1
    return torch.tensor([scores] * copies), target.repeat(copies, 1)


def test_the_image_has_two_four_and_no_violators():
    assert [len(violators) for *_, violators in split(SCORES, TRUE)] == [1, 4, 0]


@pytest.mark.parametrize(('margin', 'max_trials'), [(1.0, None), (1.0, 2), (2.5, None)])
def test_mean_is_that_of_the_loop(margin, max_trials):
    copies, generator = 10_000, random.Random(0)
    wanted = expected_loss(SCORES, TRUE, margin, max_trials)
    loop = [drawn_loss(SCORES, TRUE, generator, margin, max_trials) for _ in range(copies)]
    mean = sum(loop) / copies
    error = math.sqrt(sum((one - mean) ** 2 for one in loop)) / copies  # of the mean
    assert abs(mean - wanted) < 4 * error  # the enumeration is the loop's
    ours = WARPLoss(margin=margin, max_trials=max_trials)(*batch(copies)).item()
    assert abs(ours - wanted) < 4 * error
    assert 4 * error < 0.04 * wanted  # a small mistake would be seen


def test_distribution_of_ranks_and_violators_is_that_of_the_loop():
    """The gradient tells which violator was drawn and, by its size, the rank."""
    copies, true = 60_000, [2]
    scores, target = batch(copies, SCORES, true)
    scores.requires_grad_()
    WARPLoss()(scores, target, avg_factor=1).backward()
    gradient = scores.grad
    _, others, violators = next(split(SCORES, true))
    share = len(violators) / len(others)
    assert (len(others), len(violators)) == (7, 6)
    wanted = {}
    for trials in range(1, 8):
        rank = 7 // trials
        for one in violators:
            chance = (1 - share) ** (trials - 1) * share / len(violators)
            wanted[rank, one] = wanted.get((rank, one), 0.0) + chance
    found = 0
    for (rank, one), chance in wanted.items():
        size = rank_weight(rank)
        hits = ((gradient[:, one] - size).abs() < 1e-5) & ((gradient[:, 2] + size).abs() < 1e-5)
        found += int(hits.sum())
        assert hits.float().mean().item() == pytest.approx(
            chance, abs=4.5 * math.sqrt(chance * (1 - chance) / copies)
        )
    gone = int((gradient == 0).all(1).sum())  # no violator in seven draws
    assert found + gone == copies


def test_pairs_of_a_batch_are_drawn_each_by_itself():
    scores, target = batch(2000, SCORES, [2])
    scores.requires_grad_()
    WARPLoss()(scores, target, avg_factor=1).backward()
    drawn = scores.grad.clamp(min=0).argmax(1)
    both = (drawn[0::2] == 0) & (drawn[1::2] == 0)
    alone = (drawn == 0).float().mean().item()
    assert both.float().mean().item() == pytest.approx(alone**2, abs=0.03)


def test_without_a_choice_the_value_is_that_of_the_first_draw():
    """All others violate equally: one draw, rank C - n, one hinge."""
    scores, target = batch(3, [0.0, 0.5, 0.5, 0.5, 0.5], [0])
    wanted = rank_weight(4) * 1.5
    assert WARPLoss()(scores, target).item() == pytest.approx(wanted, rel=1e-6)


@settings(max_examples=50)
@given(data=st.data())
def test_exact_rank_is_the_definition(data):
    labels, images = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 4))
    number = st.integers(-12, 12).map(lambda one: one / 4)
    row = st.lists(number, min_size=labels, max_size=labels)
    scores = data.draw(st.lists(row, min_size=images, max_size=images))
    subset = st.sets(st.integers(0, labels - 1))
    true = data.draw(st.lists(subset, min_size=images, max_size=images))
    margin = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    target = torch.tensor([[float(one in some) for one in range(labels)] for some in true])
    loss = WARPLoss(margin=margin, exact_rank=True)(torch.tensor(scores), target)
    pairs = zip(scores, true, strict=True)
    wanted = sum(exact_loss(one, sorted(some), margin) for one, some in pairs) / images
    assert loss.item() == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_exact_rank_weights_by_rank():
    """By hand: scores 0 against 0.5, 0.8 and -2: two violators, L(2) = 1.5, hinges 1.5 and 1.8."""
    scores, target = torch.tensor([[0.0, 0.5, 0.8, -2.0]]), torch.tensor([[1, 0, 0, 0]])
    loss = WARPLoss(exact_rank=True)(scores, target)
    assert loss.item() == pytest.approx(1.5 * (1.5 + 1.8) / 2)


@pytest.mark.parametrize('exact_rank', [True, False])
def test_gradients(exact_rank):
    scores = torch.tensor([SCORES, SCORES[::-1]], dtype=torch.float64, requires_grad=True)
    target = torch.zeros(2, 8)
    target[0, [1, 0]] = target[1, [2, 5, 6]] = 1
    loss = WARPLoss(exact_rank=exact_rank)

    def draw(one):
        torch.manual_seed(3)  # the same draws for each small step
        return loss(one, target)

    assert draw(scores).item() > 0
    assert torch.autograd.gradcheck(draw, scores)
    (gradient,) = torch.autograd.grad(draw(scores), scores)
    assert torch.allclose(gradient.sum(1), torch.zeros(2).double())  # what goes up comes down
    assert bool((gradient[target == 1] <= 0).all() & (gradient[target == 0] >= 0).all())


def test_seed_decides():
    scores, target = batch(20)
    values = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        values.append([WARPLoss()(scores, target).item() for _ in range(3)])
    assert values[0] == values[1] != values[2]
    assert len(set(values[0])) == 3  # drawn anew each time
    exact = WARPLoss(exact_rank=True)
    assert exact(scores, target).item() == exact(scores, target).item()


@pytest.mark.parametrize('exact_rank', [True, False])
@pytest.mark.parametrize(
    'true', [[], list(range(8)), [4]], ids=['no label', 'all labels', 'no violator']
)
def test_images_that_add_nothing(exact_rank, true):
    scores, target = batch(2, true=true)
    scores.requires_grad_()
    loss = WARPLoss(exact_rank=exact_rank)(scores, target)
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()
    both = torch.cat([batch(1)[0], scores[:1]]), torch.cat([batch(1)[1], target[:1]])
    half = WARPLoss(exact_rank=True)(*both)
    assert half.item() == pytest.approx(exact_loss(SCORES, TRUE) / 2, rel=1e-5)


def test_factors():
    scores, target = batch(4)
    plain = WARPLoss(exact_rank=True)(scores, target)
    assert torch.allclose(
        WARPLoss(exact_rank=True, loss_weight=0.5)(scores, target, avg_factor=2), plain
    )


def test_a_label_exactly_at_the_margin_does_not_violate():
    scores, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]])
    assert WARPLoss(exact_rank=True)(scores, target).item() == 0
    closer = scores - torch.tensor([[0.25, 0.0]])
    assert WARPLoss(exact_rank=True)(closer, target).item() == 0.25


def test_half_precision():
    scores, target = batch(2)
    loss = WARPLoss(exact_rank=True)(scores.half(), target.half())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact_loss(SCORES, TRUE), rel=1e-2)


def test_it_learns_to_rank():
    features, target = torch.eye(6), torch.zeros(6, 5)
    target[range(6), [0, 1, 2, 3, 4, 0]] = 1
    target[range(6), [1, 2, 3, 4, 0, 2]] = 1
    layer, loss = torch.nn.Linear(6, 5), WARPLoss()
    optimizer = torch.optim.SGD(layer.parameters(), 0.2)
    for _ in range(150):
        optimizer.zero_grad()
        loss(layer(features), target).backward()
        optimizer.step()
    best = layer(features).topk(2).indices
    assert bool(target.gather(1, best).all())


@pytest.mark.parametrize('value', [0.5, 2.0, -1.0])
def test_strange_targets(value):
    target = torch.tensor([[1.0, 0.0, value]])
    with pytest.raises(UsageError, match=f'a target is {value:g}: .*Mixup and CutMix'):
        WARPLoss()(torch.zeros(1, 3), target)


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(margin=0), 'margin is 0'), (dict(max_trials=0), 'max_trials is 0')],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        WARPLoss(**options)
