# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""torch.compile, autocast and accumulated gradients with heads and losses: the same numbers.

Axis letters: N images, C labels, F image feature size.
"""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from region_cases import make_regions
from torch._dynamo import reset

from cnnrnn_mm.models import CNNRNNHead, RLSDHead

C, F = 5, 6
#: Batches of other sizes and lengths: the second is compiled anew, or not.
BATCHES = ([[3, 0, 2], [1], [], [4, 3]], [[0, 1, 2, 3, 4], [2]])
SIZES = dict(num_classes=C, in_channels=F, embed_dims=6, hidden_dims=7, dropout=0.0)


@pytest.fixture(autouse=True)
def _forget_graphs():
    reset()
    yield
    reset()


def samples_of(labels):
    return [DataSample().set_gt_label(torch.tensor(one).long()) for one in labels]


def losses_and_gradients(head, loss, inputs):
    """What each batch gives, one after the other."""
    found = []
    for labels, feats in zip(BATCHES, inputs, strict=True):
        head.zero_grad()
        losses = loss((feats,), samples_of(labels))
        sum(losses.values()).backward()
        found.append(
            (
                {name: value.detach() for name, value in losses.items()},
                {name: one.grad.clone() for name, one in head.named_parameters()},
            )
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        (CNNRNNHead, dict(decoder=dict(type='SkipDecoder'), marginal=dict())),
        (RLSDHead, dict(recurrent='relu_lstm')),
    ],
    ids=['skip', 'rlsd'],
)
def test_compiled_loss_and_gradients_are_the_same(kind, options):
    head = kind(**SIZES, **options)
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    if kind is RLSDHead:
        inputs = [make_regions([3, 1, 2, 3][: len(labels)], size=F) for labels in BATCHES]
    else:
        inputs = [torch.randn(len(labels), F) for labels in BATCHES]
    compiled = torch.compile(head.loss, backend='eager')
    expected = losses_and_gradients(head, head.loss, inputs)
    found = losses_and_gradients(head, compiled, inputs)
    assert all(any(bool(one.any()) for one in gradients.values()) for _, gradients in expected)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_scores_are_one_graph():
    """The paper's cell is this project's: no break in it, unlike in torch's RNN modules."""
    head = CNNRNNHead(**SIZES, recurrent='relu_lstm').eval()
    feats, tokens = (torch.randn(3, F),), torch.tensor([[C + 1, 2, 0]] * 3)
    compiled = torch.compile(head.forward, backend='eager', fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(feats, tokens), head(feats, tokens))


@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm', 'gru'])
def test_bf16_is_near_float32(recurrent):
    """Autocast rounds products to 8 bits; softmax and sums stay in float32."""
    head, feats = CNNRNNHead(**SIZES, recurrent=recurrent), (torch.randn(4, F),)
    found = {}
    for enabled in (False, True):
        head.zero_grad()
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
            loss = head.loss(feats, samples_of(BATCHES[0]))['loss']
        loss.backward()
        gradients = torch.cat([one.grad.flatten() for one in head.parameters()])
        found[enabled] = loss.detach(), gradients
    (loss, gradients), (rounded, rounded_gradients) = found.values()
    assert rounded.dtype == torch.float32 and rounded != loss
    torch.testing.assert_close(rounded, loss, atol=0, rtol=0.01)
    assert (rounded_gradients - gradients).norm() < 0.03 * gradients.norm()


def test_accumulated_gradients_are_those_of_the_whole_batch():
    start, feats, labels = CNNRNNHead(**SIZES), torch.randn(4, F), BATCHES[0]
    found = []
    for size in (4, 2):
        head, steps = copy.deepcopy(start), 4 // size
        wrapper = OptimWrapper(
            torch.optim.SGD(head.parameters(), lr=1.0), accumulative_counts=steps
        )
        wrapper.initialize_count_status(head, 0, steps)
        for at in range(0, 4, size):
            with wrapper.optim_context(head):
                loss = head.loss((feats[at : at + size],), samples_of(labels[at : at + size]))
            wrapper.update_params(loss['loss'])
        found.append([one.detach() for one in head.parameters()])
    assert any(not torch.equal(*pair) for pair in zip(found[0], start.parameters(), strict=True))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)
