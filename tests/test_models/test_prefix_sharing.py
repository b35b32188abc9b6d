# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Training with one recurrent step a distinct prefix: the same loss and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.models import CNNRNNHead, LabelDecoder, SequenceLoss, Vocabulary
from cnnrnn_mm.models.decoders import RECURRENT_LAYERS
from cnnrnn_mm.models.decoders.prefix_sharing import distinct_prefixes

C, F, D, H = 5, 7, 4, 6
END, START = 5, 6
#: Shared beginnings, a list that begins another one, equal lists, lists without labels.
LABELS = ([2, 0, 3], [2, 0], [], [1], [2, 0, 3], [3, 2], [])
LISTS = st.lists(
    st.permutations(range(C)).flatmap(lambda p: st.integers(0, C).map(lambda n: p[:n])),
    min_size=1,
    max_size=8,
)


def build_decoder(recurrent, **options):
    options = {'dropout': 0.0, **options}
    decoder = LabelDecoder(
        Vocabulary(C), F, embed_dims=D, hidden_dims=H, recurrent=recurrent, **options
    )
    for weights in decoder.recurrent.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return decoder


def sequences_of(labels):
    inputs, targets = SequenceLoss(C).make_sequences(
        [torch.tensor(one, dtype=torch.long) for one in labels]
    )
    return inputs, targets != -100


def prefixes_of(labels):
    return {(START, *one[:length]) for one in labels for length in range(len(one) + 1)}


@given(LISTS)
@settings(max_examples=60)
def test_distinct_prefixes_are_those_of_the_lists(labels):
    inputs, valid = sequences_of(labels)
    levels, nodes = distinct_prefixes(inputs, valid, C + 2)
    paths, before = [], [()]
    for level in levels:
        before = [
            (*before[parent], token)
            for parent, token in zip(level.parents.tolist(), level.tokens.tolist(), strict=True)
        ]
        paths += before
    assert len(paths) == len(set(paths)) and set(paths) == prefixes_of(labels)
    expected = [(START, *one[:length]) for one in labels for length in range(len(one) + 1)]
    assert [paths[node] for node in nodes.tolist()] == expected


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
@given(labels=LISTS)
@settings(max_examples=25)
def test_scores_are_the_rows_of_forward_that_count(recurrent, labels):
    torch.manual_seed(len(labels))
    decoder = build_decoder(recurrent).double()
    image = torch.randn(len(labels), D, dtype=torch.float64)
    inputs, valid = sequences_of(labels)
    scores = decoder.score_sequences(image, inputs, valid)
    torch.testing.assert_close(scores, decoder(image, inputs)[0][valid])


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
@pytest.mark.parametrize('labels', [[[]], [[], []], [[3]], [[4, 2, 0, 1, 3]]])
def test_scores_of_the_smallest_batches(recurrent, labels):
    decoder = build_decoder(recurrent)
    image = torch.randn(len(labels), D)
    inputs, valid = sequences_of(labels)
    scores = decoder.score_sequences(image, inputs, valid)
    torch.testing.assert_close(scores, decoder(image, inputs)[0][valid])


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_what_stands_in_the_padding_does_not_matter(recurrent):
    decoder = build_decoder(recurrent)
    image = torch.randn(len(LABELS), D)
    inputs, valid = sequences_of(LABELS)
    expected = decoder.score_sequences(image, inputs, valid)
    for other in (0, START):
        found = decoder.score_sequences(image, inputs.where(valid, torch.tensor(other)), valid)
        assert torch.equal(found, expected)
    wider = torch.nn.functional.pad(inputs, (0, 2), value=1)
    found = decoder.score_sequences(image, wider, torch.nn.functional.pad(valid, (0, 2)))
    assert torch.equal(found, expected)


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_one_recurrent_step_a_distinct_prefix(recurrent, monkeypatch):
    decoder = build_decoder(recurrent)
    rows = {}

    def count(name):
        real = getattr(decoder.recurrent, name)

        def counted(first, *others):
            rows[name] = rows.get(name, 0) + len(first)
            return real(first, *others)

        monkeypatch.setattr(decoder.recurrent, name, counted)

    count('advance')
    count('drive')
    monkeypatch.setattr(decoder.recurrent, 'forward', None)
    labels = [*LABELS] * 5
    decoder.score_sequences(torch.randn(len(labels), D), *sequences_of(labels))
    assert rows == {'advance': len(prefixes_of(LABELS)), 'drive': 5}  # 0, 1, 2, 3 and START


# The head: the same loss and gradients, shared or not.
def build_pair(**options):
    options = {'embed_dims': D, 'hidden_dims': H, 'dropout': 0.0, **options}
    heads = [
        CNNRNNHead(num_classes=C, in_channels=F, share_prefixes=shared, **options)
        for shared in (True, False)
    ]
    for weights in heads[0].parameters():
        torch.nn.init.normal_(weights, std=0.5)
    heads[1].load_state_dict(heads[0].state_dict())
    return heads


def samples_of(labels):
    return [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in labels]


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'class_weight': [0.5, 2.0, 1.0, 3.0, 0.0], 'end_weight': 0.25, 'loss_weight': 3.0},
        {'label_smoothing': 0.2},
    ],
    ids=['plain', 'weights', 'smoothing'],
)
def test_loss_and_gradients_are_the_same(recurrent, options):
    heads = build_pair(recurrent=recurrent, loss=options, marginal=dict(loss_weight=0.5))
    inputs = [torch.randn(len(LABELS), F).requires_grad_() for _ in heads]
    inputs[1].data.copy_(inputs[0].data)
    for head, features in zip(heads, inputs, strict=True):
        losses = head.loss((features,), samples_of(LABELS))
        head.total = sum(losses.values())
        head.total.backward()
        assert set(losses) == {'loss', 'loss_marginal'}
    torch.testing.assert_close(heads[0].total, heads[1].total, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-5, rtol=1e-5)
    other = dict(heads[1].named_parameters())
    for name, weights in heads[0].named_parameters():
        assert weights.grad is not None, name
        torch.testing.assert_close(weights.grad, other[name].grad, atol=1e-5, rtol=1e-5, msg=name)
        assert float(weights.grad.abs().sum()) > 0, name


@pytest.mark.parametrize('shared', [True, False])
def test_loss_of_an_image_does_not_depend_on_its_neighbours(shared):
    head = build_pair()[0 if shared else 1]
    features = torch.randn(len(LABELS), F)
    alone = [
        head.loss((features[i : i + 1],), samples_of(LABELS[i : i + 1]))['loss']
        for i in range(len(LABELS))
    ]
    whole = head.loss((features,), samples_of(LABELS))['loss']
    torch.testing.assert_close(whole, sum(alone) / len(alone))


def test_dropout_is_drawn_for_each_image_though_the_path_is_shared():
    """Equal lists, equal projected images: only dropout behind U_o can make rows differ."""
    decoder = build_decoder('lstm', dropout=0.5, activation='identity')
    inputs, valid = sequences_of([[2, 0]] * 2)
    image = torch.zeros(2, D)
    first, second = decoder.score_sequences(image, inputs, valid).view(2, 3, C + 1)
    assert not torch.allclose(first, second)
    decoder.eval()
    first, second = decoder.score_sequences(image, inputs, valid).view(2, 3, C + 1)
    torch.testing.assert_close(first, second)


def test_dropout_behind_both_projections_once():
    """Half of the entries are zero and the others doubled; the mean stays."""
    decoder = build_decoder('none', dropout=0.5, activation='identity')
    with torch.no_grad():
        decoder.embedding.weight.copy_(torch.eye(C + 2, D))
    inputs, valid = sequences_of([[]] * 4000)
    image = torch.zeros(4000, D)
    joint = decoder.score_sequences(image, inputs, valid)[:, :D].detach()
    assert float((joint == 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    expected = decoder.eval().score_sequences(image[:1], inputs[:1], valid[:1])[0, :D].detach()
    kept = joint.abs().amax(0)
    torch.testing.assert_close(kept, 2 * expected.abs())
    torch.testing.assert_close(joint.mean(0), expected, atol=0.06, rtol=0.1)


def test_dropout_of_the_loss_in_training_alone():
    head = build_pair(dropout=0.5)[0]
    features, samples = (torch.randn(len(LABELS), F),), samples_of(LABELS)
    one, other = (float(head.loss(features, samples)['loss'].detach()) for _ in range(2))
    assert one != other
    head.eval()
    one, other = (float(head.loss(features, samples)['loss'].detach()) for _ in range(2))
    assert one == other


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_loss_under_autocast(recurrent):
    heads = build_pair(recurrent=recurrent)
    features, samples = torch.randn(len(LABELS), F), samples_of(LABELS)
    exact = heads[1].loss((features,), samples)['loss']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = heads[0].loss((features,), samples)['loss']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, atol=0.05, rtol=0.05)
    loss.backward()
    assert all(bool(weights.grad.isfinite().all()) for weights in heads[0].parameters())
