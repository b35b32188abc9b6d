# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Training a proposal network with boxes.

Axis letters: N images, A anchors.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from ...errors import UsageError
from ...registry import MODELS
from ..regions import Proposals

__all__ = ['RegionProposalLoss']


@MODELS.register_module()
class RegionProposalLoss(nn.Module):
    """Objectness and box regression of Faster R-CNN, all of it torchvision's.

    Ren et al., "Faster R-CNN", NIPS 2015, section 3.1.2. An anchor is positive where it overlaps a
    box by ``foreground_iou``, or as much as any anchor overlaps that box; it is background below
    ``background_iou``, and does not count in between. The objectness loss is the binary
    cross-entropy of the sampled anchors; the box loss is smooth L1 on the deltas of the positive
    ones, divided by the number of sampled anchors. An image without boxes is background. A box
    that overlaps no anchor at all is left out: torchvision would match it with every anchor.

    Args:
        foreground_iou: Least overlap of a positive anchor.
        background_iou: Overlap below which an anchor is background.
        anchors_per_image: Most anchors of an image that are sampled.
        positive_share: Most of them that are positive; background fills up.
        loss_weight: Factor of both losses.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        foreground_iou: float = 0.7,
        background_iou: float = 0.3,
        anchors_per_image: int = 256,
        positive_share: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= background_iou <= foreground_iou <= 1:
            raise UsageError(
                f'background_iou is {background_iou} and foreground_iou {foreground_iou}: set both '
                'between 0 and 1, background_iou not above foreground_iou'
            )
        if anchors_per_image < 1:
            raise UsageError(f'anchors_per_image is {anchors_per_image}: set it to 1 or more')
        if not 0 < positive_share <= 1:
            raise UsageError(f'positive_share is {positive_share}: set it above 0 and up to 1')
        # Only its targets, sampling and losses; the neck has the network itself.
        self.rpn = RegionProposalNetwork(
            anchor_generator=None,
            head=None,
            fg_iou_thresh=foreground_iou,
            bg_iou_thresh=background_iou,
            batch_size_per_image=anchors_per_image,
            positive_fraction=positive_share,
            pre_nms_top_n={},
            post_nms_top_n={},
            nms_thresh=0.0,
        )
        self.loss_weight = loss_weight

    def forward(self, proposals: Proposals, boxes: Sequence[Tensor]) -> dict[str, Tensor]:
        """The losses of a batch, averaged over the sampled anchors of all its images.

        Anchors are drawn with torch's generator of their device, so the run's seed decides them.

        Args:
            proposals: What the network said of the A anchors.
            boxes: N tensors (n_i, 4), x1, y1, x2, y2 as shares of width and height.

        Returns:
            ``loss_objectness`` and ``loss_region_boxes``, scalars.

        Raises:
            UsageError: If there are not boxes for each image.
        """
        anchors, num_images = proposals.anchors, len(proposals.objectness)
        if len(boxes) != num_images:
            raise UsageError(
                f'there are boxes for {len(boxes)} images but proposals for {num_images}: give '
                'each image its boxes, (0, 4) where it has none'
            )
        repeated = [anchors] * num_images
        targets = [dict(boxes=overlapping(one.to(anchors), anchors)) for one in boxes]
        labels, matched = self.rpn.assign_targets_to_anchors(repeated, targets)
        objectness, regression = self.rpn.compute_loss(
            proposals.objectness,
            proposals.deltas.reshape(-1, 4),
            labels,
            list(self.rpn.box_coder.encode(matched, repeated)),
        )
        return dict(
            loss_objectness=self.loss_weight * objectness,
            loss_region_boxes=self.loss_weight * regression,
        )


def overlapping(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Those of an image's boxes (n, 4) that overlap an anchor (A, 4)."""
    return boxes[(box_iou(boxes, anchors) > 0).any(1)]
