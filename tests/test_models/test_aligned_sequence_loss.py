# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
from itertools import permutations
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, SequenceLoss, Vocabulary
from cnnrnn_mm.models.decoders import BatchScorer, ChainDecoder, LabelDecoder
from cnnrnn_mm.models.losses.aligned_sequence_loss import AlignedSequenceLoss
from cnnrnn_mm.models.losses.alignment import align_labels, keep_named, name_labels

C, F, D, H = 6, 7, 5, 8
END, START = 6, 7
LABELS = ([4, 0, 3], [], [1], [3, 2], [5, 1, 0, 2], [0])
SETS = st.permutations(range(C)).flatmap(lambda p: st.integers(0, C).map(lambda n: p[:n]))


def lists(labels):
    return [torch.tensor(one, dtype=torch.long) for one in labels]


def build_scorer(num_images, seed=0, share_prefixes=True, dropout=0.0, recurrent='lstm'):
    torch.manual_seed(seed)
    decoder = LabelDecoder(Vocabulary(C), F, D, H, recurrent=recurrent, dropout=dropout)
    for weights in decoder.parameters():
        torch.nn.init.normal_(weights, std=0.7)
    image = decoder.project_image(torch.randn(num_images, F))
    return BatchScorer(decoder, image, share_prefixes)


def rows_of(scorer, rows):
    return BatchScorer(scorer.decoder, scorer.image[rows], scorer.share_prefixes)


class StepTable:
    """A scorer whose probabilities depend on the step alone, and that notes what it was fed."""

    decoder = None

    def __init__(self, probabilities):
        self.log_probs = torch.tensor(probabilities, dtype=torch.float).log()  # (N, T, V)
        self.image = torch.zeros(len(self.log_probs), 1)

    def begin(self):
        def step(tokens, state):
            rows, steps = state
            return self.log_probs[rows, steps], (rows, steps + 1)

        rows = torch.arange(len(self.image))
        return step, (rows, torch.zeros_like(rows))

    def score(self, tokens, valid, images=None):
        self.fed = tokens
        rows, steps = valid.nonzero(as_tuple=True)
        return self.log_probs[rows, steps]


def own_way(scorer, row, length, barred=()):
    """One image, step by step, the whole path anew for each step."""
    path = []
    for _ in range(length):
        tokens = torch.tensor([[START, *path]])
        scores = scorer.decoder(scorer.image[row : row + 1], tokens)[0][0, -1]
        left = [label for label in range(C) if label not in path and label not in barred]
        path.append(max(left, key=scores.tolist().__getitem__))
    return path


def plain_loss(scorer, labels, alignment, options, ignored=None):
    """All assignments tried, in plain Python."""
    weight = [*options.get('class_weight', [1.0] * C), options.get('end_weight', 1.0)]
    smoothing = options.get('label_smoothing', 0.0)
    total = 0.0
    for row, one in enumerate(labels):
        hidden = [] if ignored is None else [x for x in ignored[row] if x not in one]
        named = own_way(scorer, row, len(one), hidden)
        scores = scorer.decoder(scorer.image[row : row + 1], torch.tensor([[START, *named]]))[0][0]
        competing = [token for token in range(C + 1) if token not in hidden]
        probs = scores[:, competing].softmax(-1).tolist()
        probs = [dict(zip(competing, step, strict=True)) for step in probs]

        def value(order, probs=probs, competing=competing):
            losses = [
                -(1 - smoothing) * weight[x] * math.log(p[x])
                for x, p in zip(order, probs, strict=True)
            ]
            for step in probs:
                losses += [
                    -smoothing / len(competing) * weight[x] * math.log(step[x]) for x in competing
                ]
            return sum(losses)

        orders = list(permutations(one))
        if alignment == 'pla':
            kept = [(place, label) for place, label in enumerate(named) if label in one]
            orders = [order for order in orders if all(order[p] == x for p, x in kept)]
        total += min(value((*order, END)) for order in orders)
    return total / len(labels)


#: Three steps and END; labels 4 and 5 are all but impossible.
TABLE = [
    [0.60, 0.20, 0.10, 0.05, 0.01, 0.01, 0.03],
    [0.50, 0.10, 0.05, 0.25, 0.01, 0.01, 0.08],
    [0.30, 0.25, 0.05, 0.10, 0.01, 0.01, 0.28],
    [0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.70],
]


@pytest.mark.parametrize(
    ('alignment', 'order'),
    [
        # (0, 1, 2) 0.003, (0, 2, 1) 0.0075, (1, 0, 2) 0.005, (1, 2, 0) 0.003, (2, 0, 1) 0.0125,
        # (2, 1, 0) 0.003: the fifth.
        ('mla', (0.10, 0.50, 0.25)),
        # The model names 0, 3 and 1: 0 and 1 stay, and 2 takes the second step.
        ('pla', (0.60, 0.05, 0.25)),
    ],
)
def test_hand_worked(alignment, order):
    scorer = StepTable([TABLE])
    loss = AlignedSequenceLoss(C, alignment).compute(scorer, lists([[1, 2, 0]]))
    assert scorer.fed.tolist() == [[START, 0, 3, 1]]  # its own labels, and none twice
    assert loss.item() == pytest.approx(-sum(map(math.log, (*order, 0.70))), rel=1e-5)


def test_labels_named_behind_the_last_step_are_not_kept():
    """With two labels there are two steps: what a third one would name has no say."""
    table = [
        [0.50, 0.04, 0.06, 0.10, 0.10, 0.10, 0.10],  # names 0, which is false
        [0.10, 0.30, 0.04, 0.25, 0.11, 0.10, 0.10],  # names 1, true: stays; so 2 comes first
        [0.04, 0.10, 0.80, 0.01, 0.01, 0.01, 0.03],  # 2 here would be one step too late
    ]
    scorer = StepTable([table])
    loss = AlignedSequenceLoss(C, 'pla').compute(scorer, lists([[2, 1]]))
    assert loss.item() == pytest.approx(-math.log(0.06 * 0.30 * 0.03), rel=1e-5)


def test_end_is_never_an_input():
    table = [[0.05, 0.02, 0.02, 0.02, 0.02, 0.02, 0.85]] * 3
    scorer = StepTable([table, table])
    AlignedSequenceLoss(C).compute(scorer, lists([[1, 2], []]))
    assert scorer.fed[0].tolist() == [START, 0, 1]
    assert scorer.fed[1, 0] == START


OPTIONS = [
    {},
    {'class_weight': [0.5, 2.0, 1.0, 3.0, 0.2, 1.5], 'end_weight': 0.3},
    {'label_smoothing': 0.2, 'class_weight': [0.5, 2.0, 1.0, 3.0, 0.2, 1.5]},
]


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('alignment', ['pla', 'mla'])
@pytest.mark.parametrize('share_prefixes', [True, False])
def test_value_against_all_assignments(alignment, options, share_prefixes):
    for seed in range(4):
        scorer = build_scorer(len(LABELS), seed, share_prefixes)
        found = AlignedSequenceLoss(C, alignment, **options).compute(scorer, lists(LABELS))
        expected = plain_loss(scorer, LABELS, alignment, options)
        assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('options', OPTIONS[::2])
@pytest.mark.parametrize('alignment', ['pla', 'mla'])
def test_value_with_ignored_labels(alignment, options):
    ignored = [[1], [0, 2], [1, 3], [], [4, 5], [1, 2, 3, 4, 5]]  # some of them are true as well
    scorer = build_scorer(len(LABELS))
    loss = AlignedSequenceLoss(C, alignment, **options)
    found = loss.compute(scorer, lists(LABELS), lists(ignored))
    expected = plain_loss(scorer, LABELS, alignment, options, ignored)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert found.item() != pytest.approx(loss.compute(scorer, lists(LABELS)).item(), rel=1e-3)
    nothing = loss.compute(scorer, lists(LABELS), lists([[]] * len(LABELS)))
    torch.testing.assert_close(nothing, loss.compute(scorer, lists(LABELS)))


@given(labels=st.lists(SETS, min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_minimal_loss_is_the_least(labels, seed):
    """Of all assignments, those of PLA among them."""
    scorer = build_scorer(len(labels), seed)
    mla = AlignedSequenceLoss(C, 'mla').compute(scorer, lists(labels)).item()
    pla = AlignedSequenceLoss(C, 'pla').compute(scorer, lists(labels)).item()
    assert mla <= pla + 1e-5
    assert mla == pytest.approx(plain_loss(scorer, labels, 'mla', {}), rel=1e-5)


@pytest.mark.parametrize('alignment', ['pla', 'mla'])
def test_the_given_order_does_not_matter(alignment):
    scorer = build_scorer(len(LABELS))
    loss = AlignedSequenceLoss(C, alignment)
    weights = list(scorer.decoder.parameters())

    def run(labels):
        value = loss.compute(scorer, lists(labels))
        return [value, *torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)]

    first = run(LABELS)
    for turn in (lambda one: one[::-1], lambda one: one[1:] + one[:1]):
        for one, other in zip(first, run([turn(labels) for labels in LABELS]), strict=True):
            assert one is None and other is None or torch.equal(one, other)


@pytest.mark.parametrize('alignment', ['pla', 'mla'])
@pytest.mark.parametrize('recurrent', ['lstm', 'gru', 'none'])
def test_a_batch_is_the_mean_of_its_images(alignment, recurrent):
    scorer = build_scorer(len(LABELS), recurrent=recurrent)
    loss = AlignedSequenceLoss(C, alignment)
    alone = [loss.compute(rows_of(scorer, [row]), lists([one])) for row, one in enumerate(LABELS)]
    together = loss.compute(scorer, lists(LABELS))
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_pla_is_mla_where_nothing_true_was_named():
    """And it is not where the model named a true label."""
    table = [[0.01, 0.02, 0.03, 0.30, 0.24, 0.20, 0.20]] + TABLE[1:2] * 2
    table[1] = [0.05, 0.02, 0.01, 0.10, 0.40, 0.30, 0.12]
    table[2] = [0.01, 0.03, 0.05, 0.10, 0.10, 0.40, 0.31]
    scorer = StepTable([[*table, TABLE[3]]])
    labels = lists([[0, 1, 2]])
    pla, mla = (AlignedSequenceLoss(C, one).compute(scorer, labels) for one in ('pla', 'mla'))
    assert scorer.fed.tolist() == [[START, 3, 4, 5]]
    assert torch.equal(pla, mla)
    assert mla.item() == pytest.approx(-math.log(0.02 * 0.05 * 0.05 * 0.70), rel=1e-5)
    pla, mla = (
        AlignedSequenceLoss(C, one).compute(StepTable([TABLE]), labels) for one in ('pla', 'mla')
    )
    assert mla.item() < pla.item() - 0.1


def test_images_without_labels_are_those_of_the_sequence_loss():
    scorer = build_scorer(3)
    labels = lists([[], [], []])
    for alignment in ('pla', 'mla'):
        found = AlignedSequenceLoss(C, alignment).compute(scorer, labels)
        torch.testing.assert_close(found, SequenceLoss(C).compute(scorer, labels))


def test_equals_the_sequence_loss_where_the_model_names_the_labels():
    scorer = build_scorer(4)
    labels = lists([own_way(scorer, row, row) for row in range(4)])
    expected = SequenceLoss(C, label_smoothing=0.1).compute(scorer, labels)
    found = AlignedSequenceLoss(C, 'pla', label_smoothing=0.1).compute(scorer, labels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('alignment', ['pla', 'mla'])
def test_gradient_is_that_of_the_scores_alone(alignment):
    """Finite differences: the assignment is a constant. Every token and weight learns."""
    scorer = build_scorer(len(LABELS))
    decoder = scorer.decoder.double()
    image = scorer.image.detach().double().requires_grad_()
    loss = AlignedSequenceLoss(C, alignment)

    def value(image):
        return loss.compute(BatchScorer(decoder, image), lists(LABELS))

    value(image).backward()
    assert all(weights.grad.abs().sum() > 0 for weights in decoder.recurrent.parameters())
    assert decoder.embedding.weight.grad.abs().sum(-1).min() > 0  # all tokens
    for row, column in ((0, 1), (4, 3), (5, 0)):
        moved = torch.zeros_like(image)
        moved[row, column] = 1e-2
        slope = (value(image + moved) - value(image - moved)).item() / 2e-2
        assert slope == pytest.approx(image.grad[row, column].item(), rel=0.02, abs=1e-4)


@pytest.mark.parametrize('alignment', ['pla', 'mla'])
def test_it_learns_labels_that_images_show(alignment):
    """Targets that are wrongly aligned would not come down to the paths' own uncertainty."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.rand(64, C, generator=generator) < 0.4
    labels = [one.nonzero().flatten() for one in shown]
    torch.manual_seed(0)
    decoder = LabelDecoder(Vocabulary(C), C, 32, 32, dropout=0.0)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    loss = AlignedSequenceLoss(C, alignment)
    for _ in range(120):
        optimizer.zero_grad()
        value = loss.compute(BatchScorer(decoder, decoder.project_image(shown.float())), labels)
        value.backward()
        optimizer.step()
    assert value.item() < 0.5


@pytest.mark.parametrize('alignment', ['pla', 'mla'])
def test_through_the_head_and_with_dropout(alignment):
    torch.manual_seed(0)
    options = dict(type=AlignedSequenceLoss, alignment=alignment)
    head = CNNRNNHead(C, F, D, H, dropout=0.5, loss=options, ignore_difficult=True)
    samples = [
        DataSample(metainfo=dict(gt_label_difficult=[5])).set_gt_label(one) for one in lists(LABELS)
    ]
    value = head.loss((torch.randn(len(LABELS), F),), samples)['loss']
    value.backward()
    assert value.isfinite() and value.dim() == 0
    assert head.decoder.image_projection.weight.grad.isfinite().all()


@pytest.mark.parametrize('wrong', [math.nan, math.inf, -math.inf])
def test_a_model_that_is_lost_gives_no_other_error(wrong):
    """The loss says so, as teacher forcing would; hooks look for that."""
    scorer = build_scorer(len(LABELS))
    scorer = BatchScorer(scorer.decoder, torch.full_like(scorer.image, wrong))
    for alignment in ('pla', 'mla'):
        value = AlignedSequenceLoss(C, alignment).compute(scorer, lists(LABELS))
        assert value.isfinite() == SequenceLoss(C).compute(scorer, lists(LABELS)).isfinite()


def test_refusals():
    with pytest.raises(UsageError, match="alignment is 'hungarian': choose from pla, mla"):
        AlignedSequenceLoss(C, 'hungarian')
    with pytest.raises(UsageError, match='label_smoothing is 1.5'):
        AlignedSequenceLoss(C, label_smoothing=1.5)
    with pytest.raises(UsageError, match='label 2 comes twice in image 1'):
        AlignedSequenceLoss(C).compute(build_scorer(2), lists([[1], [2, 0, 2]]))
    chain = ChainDecoder(Vocabulary(C), F)
    scorer = SimpleNamespace(decoder=chain, image=torch.zeros(1, C))
    with pytest.raises(UsageError, match='AlignedSequenceLoss learns others: use SequenceLoss'):
        AlignedSequenceLoss(C).compute(scorer, lists([[1]]))


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(0, 9), min_size=n, max_size=n), min_size=n, max_size=n
        )
    ),
    st.integers(0, 3),
)
def test_assignment_against_all_permutations(costs, padding):
    size = len(costs)
    table = torch.full((2, size + padding, size + padding), math.nan)
    table[0, :size, :size] = torch.tensor(costs)
    table[1, 0, 0] = 1.0
    places = align_labels(table, [size, 1])
    assert places.shape == (2, size + padding)
    assert sorted(places[0].tolist()) == list(range(size + padding))
    assert places[0, size:].tolist() == list(range(size, size + padding))
    assert places[1].tolist() == list(range(size + padding))
    steps = torch.arange(size)
    best = min(float(table[0, steps, list(order)].sum()) for order in permutations(range(size)))
    assert float(table[0, steps, places[0, :size]].sum()) == pytest.approx(best, abs=1e-4)


def test_named_labels_are_kept_against_any_cost():
    costs = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]])
    named, labels = torch.tensor([[2, 7, 8]]), torch.tensor([[2, 4, 5]])
    assert align_labels(keep_named(costs, named, labels), [3]).tolist() == [[0, 2, 1]]
    assert align_labels(costs, [3])[0].tolist() != [0, 2, 1]


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(1, 6), st.integers(0, 99))
def test_pla_never_asks_for_a_label_that_was_named_before(named, labels, size, seed):
    named, labels = torch.tensor([named[:size]]), torch.tensor([labels[:size]])
    costs = torch.rand(1, size, size, generator=torch.Generator().manual_seed(seed))
    places = align_labels(keep_named(costs, named, labels), [size])
    targets, named = labels.gather(1, places)[0].tolist(), named[0].tolist()
    assert sorted(targets) == sorted(labels[0].tolist())
    for step, label in enumerate(targets):
        assert label not in named or named[step] == label


def test_naming_stops_at_each_image_and_bars():
    scorer = StepTable([TABLE, TABLE, TABLE])
    step, state = scorer.begin()
    barred = torch.zeros(3, C, dtype=torch.bool)
    barred[2, 0] = True
    named = name_labels(step, state, START, [1, 0, 3], barred)
    assert named[0, 0] == 0
    assert named[2].tolist() == [1, 3, 2]  # 0 is barred, and 1 and 3 are gone
    assert not name_labels(step, state, START, [0, 0, 0], barred).numel()
