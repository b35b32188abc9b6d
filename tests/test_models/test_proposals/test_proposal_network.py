# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.proposals import ProposalNetwork


def network(num_proposals=6, in_channels=4, spread=0.3, seed=0, **options):
    """With weights that spread objectness and boxes."""
    torch.manual_seed(seed)
    made = ProposalNetwork(in_channels, num_proposals, **options)
    for layer in (made.rpn.conv[0][0], made.rpn.cls_logits, made.rpn.bbox_pred):
        torch.nn.init.normal_(layer.weight, std=spread)
    return made


def brute_force(boxes, logits, num_proposals, nms_iou, pre_nms, min_size):
    """One image in plain Python: the best first, each dropped if a kept one overlaps it."""
    order = sorted(range(len(logits)), key=lambda i: -float(logits[i]))[:pre_nms]
    overlaps, kept = box_iou(boxes, boxes).tolist(), []
    for i in order:
        width, height = (boxes[i, 2:] - boxes[i, :2]).tolist()
        if min(width, height) < min_size:
            continue
        if all(overlaps[i][j] <= nms_iou for j in kept):
            kept.append(i)
    return kept[:num_proposals]


def decode(anchors, deltas):
    """The inverse of Faster R-CNN's box coding, written out, and clipped to the image."""
    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = (anchors[:, 2:] + anchors[:, :2]) / 2 + deltas[:, :2] * sizes
    sizes = sizes * deltas[:, 2:].exp()
    return torch.cat([centres - sizes / 2, centres + sizes / 2], 1).clamp(0, 1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    nms_iou=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    pre_nms=st.sampled_from([1, 5, 40, 1000]),
    min_size=st.sampled_from([0.001, 0.1, 0.3]),
    num_proposals=st.sampled_from([0, 1, 4, 500]),
    shape=st.sampled_from([(1, 1), (2, 3), (3, 1)]),
)
def test_equals_brute_force(seed, nms_iou, pre_nms, min_size, num_proposals, shape):
    options = dict(nms_iou=nms_iou, pre_nms=pre_nms, min_size=min_size)
    made = network(num_proposals, seed=seed, **options)
    with torch.no_grad():
        boxes, valid, log_gates, proposals = made(torch.randn(2, 4, *shape))
    for image in range(2):
        logits = proposals.objectness[image]
        every = decode(proposals.anchors, proposals.deltas[image])
        kept = brute_force(every, logits, num_proposals, **options)
        count = len(kept)
        assert valid[image].tolist() == [True] * count + [False] * (valid.shape[1] - count)
        torch.testing.assert_close(boxes[image, :count], every[kept], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(log_gates[image, :count].exp(), logits[kept].sigmoid())
        assert not log_gates[image, count:].any()
    assert valid.shape[1] == int(valid.sum(1).max())  # no more than the batch needs


def test_anchors_by_hand():
    """Two sizes and two ratios on a map of 1 x 2: unrounded, centred on the cells."""
    made = ProposalNetwork(3, 5, anchor_sizes=(0.1, 0.3), aspect_ratios=(1.0, 4.0))
    anchors = made.anchors(1, 2)
    assert anchors.shape == (8, 4)
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2).tolist()
    assert centres == [pytest.approx([0.25, 0.5])] * 4 + [pytest.approx([0.75, 0.5])] * 4
    sizes = (anchors[:, 2:] - anchors[:, :2]).tolist()
    expected = [[0.1, 0.1], [0.3, 0.3], [0.05, 0.2], [0.15, 0.6]]  # width, height
    assert sizes == [pytest.approx(one, abs=1e-6) for one in expected * 2]


def test_twelve_anchors_a_position_and_their_order():
    """An anchor's output is that of its own position: rows before columns."""
    made = network()
    maps = torch.zeros(1, 4, 3, 5)
    changed = maps.clone()
    changed[..., 0, 4] = 1
    with torch.no_grad():
        before, after = made(maps)[3], made(changed)[3]
    assert before.objectness.shape == (1, 12 * 15) and before.deltas.shape == (1, 12 * 15, 4)
    moved = (after.objectness != before.objectness).view(3, 5, 12).any(2)
    # The 3x3 convolution reaches the neighbours of the first row's last position.
    assert moved.nonzero().tolist() == [[0, 3], [0, 4], [1, 3], [1, 4]]
    moved = (after.deltas != before.deltas).view(3, 5, 48).any(2)
    assert moved.nonzero().tolist() == [[0, 3], [0, 4], [1, 3], [1, 4]]


def test_nothing_learned_yet_proposes_the_anchors():
    """Zero deltas decode to the anchors, clipped; equal scores come in the anchors' order."""
    made = ProposalNetwork(4, 3, nms_iou=1.0)
    for value in made.rpn.parameters():
        torch.nn.init.zeros_(value)
    boxes, valid, log_gates, proposals = made(torch.randn(2, 4, 2, 2))
    assert valid.all()
    torch.testing.assert_close(boxes, proposals.anchors[:3].clamp(0, 1).expand(2, -1, -1))
    torch.testing.assert_close(log_gates, torch.full((2, 3), 0.5).log())


def test_gradients_reach_deltas_and_objectness():
    """Those of the proposals that are kept, and no others."""
    made = network(num_proposals=2)
    boxes, valid, log_gates, proposals = made(torch.randn(1, 4, 2, 2))
    deltas, objectness = torch.autograd.grad(
        (boxes * torch.randn_like(boxes)).sum() + log_gates.sum(),
        [proposals.deltas, proposals.objectness],
    )
    logits = proposals.objectness.detach()
    reached = objectness[0].nonzero().squeeze(1)
    assert len(reached) == 2
    torch.testing.assert_close(objectness[0, reached], torch.sigmoid(-logits[0, reached]))
    assert set(deltas[0].any(1).nonzero().squeeze(1).tolist()) <= set(reached.tolist())
    assert deltas.any()


def test_a_batch_is_its_images():
    made = network(num_proposals=500, min_size=0.2).eval()
    maps = torch.randn(5, 4, 3, 4)
    with torch.no_grad():
        boxes, valid, log_gates, proposals = made(maps)
        assert len(set(valid.sum(1).tolist())) > 1  # so there is padding
        for image in range(5):
            alone, alone_valid, alone_gates, said = made(maps[image : image + 1])
            count = alone.shape[1]
            assert alone_valid.all() and int(valid[image].sum()) == count
            torch.testing.assert_close(boxes[image, :count], alone[0], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(log_gates[image, :count], alone_gates[0])
            torch.testing.assert_close(proposals.objectness[image], said.objectness[0])


def test_no_proposal_left():
    """Boxes that shrink to nothing are removed, in one image or in all."""
    made = network(min_size=0.05)
    torch.nn.init.zeros_(made.rpn.bbox_pred.weight)
    with torch.no_grad():
        made.rpn.bbox_pred.bias.fill_(-9.0)
        boxes, valid, log_gates, proposals = made(torch.randn(2, 4, 2, 2))
    assert boxes.shape == (2, 0, 4) and valid.shape == log_gates.shape == (2, 0)
    assert proposals.objectness.shape == (2, 48)


def test_hidden_channels():
    made = ProposalNetwork(4, 3, hidden=7)
    assert made.rpn.conv[0][0].weight.shape == (7, 4, 3, 3)
    assert float(made.rpn.conv[0][0].weight.detach().std()) == pytest.approx(0.01, rel=0.2)
    assert not made.rpn.conv[0][0].bias.any()
    assert made(torch.randn(1, 4, 2, 2))[0].shape[::2] == (1, 4)
    # Without, the names are torchvision's with its shapes.
    assert ProposalNetwork(4, 3).rpn.conv[0][0].weight.shape == (4, 4, 3, 3)


def test_half_precision_maps_give_single_precision_boxes():
    made = network().bfloat16()
    boxes, _, log_gates, proposals = made(torch.randn(1, 4, 2, 2, dtype=torch.bfloat16))
    assert boxes.dtype == log_gates.dtype == torch.float32
    assert proposals.objectness.dtype == proposals.deltas.dtype == torch.float32


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(anchor_sizes=()), r'anchor_sizes is \(\)'),
        (dict(aspect_ratios=(1.0, -2.0)), r'aspect_ratios is \(1.0, -2.0\)'),
        (dict(nms_iou=1.5), 'nms_iou is 1.5'),
        (dict(pre_nms=0), 'pre_nms is 0'),
        (dict(min_size=0.0), 'min_size is 0.0'),
        (dict(num_proposals=-1), '-1 proposals.*num_regions'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        ProposalNetwork(**dict(in_channels=4, num_proposals=3) | options)
