# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.losses import RegionProposalLoss
from cnnrnn_mm.models.proposals import ProposalNetwork
from cnnrnn_mm.models.regions import Proposals

#: Pixels of a cell of the map.
STRIDE = 16


class CentredAnchors(AnchorGenerator):
    """torchvision's anchors, moved from the corners of the cells to their centres."""

    def forward(self, image_list, feature_maps):
        anchors = super().forward(image_list, feature_maps)
        return [one + STRIDE / 2 for one in anchors]


def torchvision_network(ours, image_size, sizes, **options):
    """With our weights, and our anchors in pixels of a square image."""
    generator = CentredAnchors((tuple(size * image_size for size in sizes),), ((0.25, 1.0, 4.0),))
    settings = dict(
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=40,
        positive_fraction=0.5,
        pre_nms_top_n=dict(training=60, testing=60),
        post_nms_top_n=dict(training=9, testing=9),
        nms_thresh=0.7,
    )
    theirs = RegionProposalNetwork(generator, copy.deepcopy(ours.rpn), **settings | options)
    theirs.min_size = 0.01 * image_size
    return theirs


def test_losses_gradients_and_boxes_equal_torchvision_s_network():
    """On the same input in pixels: the same weights, anchors and random draws."""
    torch.manual_seed(0)
    # Whole pixels, so that torchvision's rounding of its anchors changes nothing.
    sizes, image_size = (0.125, 0.5), 128
    ours = ProposalNetwork(5, 9, sizes, (0.25, 1.0, 4.0), pre_nms=60)
    for layer in (ours.rpn.cls_logits, ours.rpn.bbox_pred):
        torch.nn.init.normal_(layer.weight, std=0.5)
    theirs = torchvision_network(ours, image_size, sizes).train()
    maps = torch.randn(3, 5, 8, 8)
    boxes = [
        torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.5, 0.5, 0.6, 0.65]]),
        torch.zeros(0, 4),
        torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
    ]
    images = ImageList(torch.zeros(3, 3, image_size, image_size), [(image_size, image_size)] * 3)
    torch.manual_seed(1)
    kept, expected = theirs(images, {'0': maps}, [dict(boxes=one * image_size) for one in boxes])
    sum(expected.values()).backward()

    ours_boxes, valid, _, proposals = ours(maps)
    torch.manual_seed(1)
    losses = RegionProposalLoss(anchors_per_image=40)(proposals, boxes)
    assert list(losses) == ['loss_objectness', 'loss_region_boxes']
    torch.testing.assert_close(losses['loss_objectness'], expected['loss_objectness'])
    torch.testing.assert_close(losses['loss_region_boxes'], expected['loss_rpn_box_reg'])
    assert losses['loss_region_boxes'] > 0
    sum(losses.values()).backward()
    for one, other in zip(ours.rpn.parameters(), theirs.head.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    for one, keep, other in zip(ours_boxes, valid, kept, strict=True):
        torch.testing.assert_close(one[keep] * image_size, other, rtol=1e-5, atol=1e-3)


def test_by_hand():
    """Three anchors: one hits the box, one lies in between, one is background."""
    anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.8], [0.6, 0.6, 1.0, 1.0]])
    boxes = torch.tensor([[0.0, 0.0, 0.4, 0.5]])
    assert box_iou(boxes, anchors)[0].tolist() == pytest.approx([0.8, 0.625, 0])
    logits = torch.tensor([[0.3, 50.0, -1.2]])
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 1:] = 7  # only the positive anchor's deltas count
    losses = RegionProposalLoss(loss_weight=2.0)(Proposals(logits, deltas, anchors), [boxes])
    objectness = functional.softplus(torch.tensor([-0.3, -1.2])).mean()
    assert float(losses['loss_objectness']) == pytest.approx(2 * float(objectness))
    # dx = 0, dy = 0.05 / 0.4, dw = 0, dh = log(0.5 / 0.4); smooth L1 of beta 1/9, two anchors.
    terms = [0.125 - 1 / 18, torch.tensor(1.25).log().item() - 1 / 18]
    assert float(losses['loss_region_boxes']) == pytest.approx(2 * sum(terms) / 2, rel=1e-5)


@pytest.mark.parametrize('box', [[0.5, 0.5, 0.6, 0.6], [0.1, 0.1, 0.1, 0.3]])
def test_a_box_that_no_anchor_overlaps_makes_no_anchor_positive(box):
    anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.7, 0.7, 0.9, 0.9]])
    proposals = Proposals(torch.zeros(1, 2), torch.ones(1, 2, 4), anchors)
    alone = RegionProposalLoss()(proposals, [torch.tensor([box])])
    background = RegionProposalLoss()(proposals, [torch.zeros(0, 4)])
    assert alone == background
    assert float(alone['loss_region_boxes']) == 0
    assert float(alone['loss_objectness']) == pytest.approx(0.6931472)


def test_training_finds_the_box():
    """A few steps on one picture put the best proposal on its object."""
    torch.manual_seed(0)
    network = ProposalNetwork(4, 1, (0.25, 0.5))
    maps, box = torch.randn(1, 4, 6, 9), torch.tensor([[0.3, 0.1, 0.65, 0.5]])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    criterion = RegionProposalLoss(anchors_per_image=64)
    before = float(box_iou(network(maps)[0][0].detach(), box))
    for _ in range(40):
        optimiser.zero_grad()
        sum(criterion(network(maps)[3], [box]).values()).backward()
        optimiser.step()
    after = float(box_iou(network(maps)[0][0].detach(), box))
    assert before < 0.5 and after > 0.8


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(foreground_iou=0.2), 'background_iou is 0.3 and foreground_iou 0.2'),
        (dict(foreground_iou=1.2), 'foreground_iou 1.2'),
        (dict(anchors_per_image=0), 'anchors_per_image is 0'),
        (dict(positive_share=0.0), 'positive_share is 0.0'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        RegionProposalLoss(**options)


def test_images_without_an_entry_are_named():
    proposals = Proposals(torch.zeros(2, 1), torch.zeros(2, 1, 4), torch.rand(1, 4))
    with pytest.raises(UsageError, match='boxes for 1 images but proposals for 2'):
        RegionProposalLoss()(proposals, [torch.zeros(0, 4)])
