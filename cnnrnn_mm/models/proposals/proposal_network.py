# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A region proposal network on a single map.

Axis letters: N images, F channels, P positions, K anchors of a position, A = P K anchors,
Q anchors that NMS sees, B' proposals of the image that has most.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RPNHead, concat_box_prediction_layers
from torchvision.ops import Conv2dNormActivation, clip_boxes_to_image, nms, remove_small_boxes

from ...errors import UsageError
from ...registry import MODELS
from ..regions import Proposals
from .proposal_source import ProposalSource

__all__ = ['ProposalNetwork']

#: AnchorGenerator rounds the corners of its anchors to whole pixels. On an image of 2^22 pixels a
#: side that is the last bit of single precision.
FINE = 2**22


@MODELS.register_module()
class ProposalNetwork(ProposalSource):
    """Ren et al., "Faster R-CNN", NIPS 2015, section 3.1, with anchors in shares of the image.

    A 3x3 convolution, an objectness and four box deltas for each anchor; clipping, removal of tiny
    boxes, NMS and the best ``num_proposals``. Layers, base anchors, box coding and NMS are
    torchvision's. By default each position has 12 anchors and NMS is at 0.7, as in Johnson et al.,
    "DenseCap", CVPR 2016, section 3.2.

    Unlike torchvision's own network: boxes and log gates keep their gradient with respect to deltas
    and objectness (which boxes are kept has none), so image labels alone can train it; anchors are
    centred on the cells of the map, where torchvision has the cells' corners; and NMS runs image by
    image, so that the proposals of one do not depend on the others.

    Args:
        in_channels: F. The neck fills it in.
        num_proposals: Most proposals of an image. The neck fills it in.
        anchor_sizes: Square roots of the areas of the anchors; 1 is the whole image.
        aspect_ratios: Height by width, both in shares of the image's.
        hidden: Channels behind the 3x3 convolution; None for ``in_channels``.
        nms_iou: Of two boxes that overlap by more, the better one stays.
        pre_nms: Most boxes of an image that NMS sees, best first.
        min_size: Least width and height of a proposal, as shares.
        init_cfg: The host's initialisation config; without it torchvision's: weights normal with a
            deviation of 0.01, biases 0.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_proposals: int,
        anchor_sizes: Sequence[float] = (0.1, 0.2, 0.35, 0.6),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        hidden: int | None = None,
        nms_iou: float = 0.7,
        pre_nms: int = 1000,
        min_size: float = 0.01,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, num_proposals, init_cfg)
        for name, values in (('anchor_sizes', anchor_sizes), ('aspect_ratios', aspect_ratios)):
            if not values or min(values) <= 0:
                raise UsageError(f'{name} is {values}: give at least one number, all above 0')
        if not 0 <= nms_iou <= 1:
            raise UsageError(f'nms_iou is {nms_iou}: set it between 0 and 1')
        if pre_nms < 1:
            raise UsageError(f'pre_nms is {pre_nms}: set it to 1 or more')
        if not 0 < min_size < 1:
            raise UsageError(f'min_size is {min_size}: set it between 0 and 1, a share of the side')
        sizes = [size * FINE for size in anchor_sizes]
        base = AnchorGenerator().generate_anchors(sizes, list(aspect_ratios)) / FINE
        self.register_buffer('base_anchors', base, persistent=False)  # (K, 4), around 0
        self.rpn = make_head(in_channels, in_channels if hidden is None else hidden, len(base))
        self.box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.nms_iou = nms_iou
        self.pre_nms = pre_nms
        self.min_size = min_size

    def forward(
        self, maps: Tensor, data_samples: Sequence[DataSample] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Proposals | None]:
        """See :meth:`ProposalSource.forward`."""
        logits, deltas = concat_box_prediction_layers(*self.rpn([maps]))
        # At least single precision: half would move a box by a thousandth of the image.
        dtype = torch.promote_types(maps.dtype, torch.float32)
        proposals = Proposals(
            logits.to(dtype).view(len(maps), -1),
            deltas.to(dtype).view(len(maps), -1, 4),
            self.anchors(*maps.shape[2:]).to(dtype),
        )
        boxes, logits = self._best(proposals)
        chosen = [self._select(*one) for one in zip(boxes, logits.detach(), strict=True)]
        boxes, valid = self.pad([one[keep] for one, keep in zip(boxes, chosen, strict=True)])
        logits, _ = self.pad([one[keep] for one, keep in zip(logits, chosen, strict=True)])
        log_gates = functional.logsigmoid(logits).masked_fill(~valid, 0.0)
        return boxes, valid, log_gates, proposals

    def anchors(self, height: int, width: int) -> Tensor:
        """Those of a map, (A, 4): position by position, row by row."""
        device = self.base_anchors.device
        x = (torch.arange(width, device=device) + 0.5) / width
        y = (torch.arange(height, device=device) + 0.5) / height
        y, x = torch.meshgrid(y, x, indexing='ij')
        centres = torch.stack([x, y, x, y], -1).view(-1, 1, 4)  # (P, 1, 4)
        return (centres + self.base_anchors).view(-1, 4)

    def _best(self, proposals: Proposals) -> tuple[Tensor, Tensor]:
        """Boxes (N, Q, 4), clipped, and logits (N, Q) of the best anchors, best first."""
        # A stable sort, not topk: among equals, topk's choice may depend on the batch.
        order = proposals.objectness.detach().sort(dim=1, descending=True, stable=True).indices
        order = order[:, : self.pre_nms]  # (N, Q)
        deltas = proposals.deltas.gather(1, order.unsqueeze(2).expand(-1, -1, 4))
        boxes = self.box_coder.decode(deltas.flatten(0, 1), list(proposals.anchors[order]))
        boxes = clip_boxes_to_image(boxes.view(*order.shape, 4), (1, 1))
        return boxes, proposals.objectness.gather(1, order)

    def _select(self, boxes: Tensor, logits: Tensor) -> Tensor:
        """Which of an image's boxes (Q, 4) stay, best first."""
        boxes = boxes.detach()
        large = remove_small_boxes(boxes, self.min_size)
        return large[nms(boxes[large], logits[large], self.nms_iou)[: self.num_proposals]]


def make_head(in_channels: int, hidden: int, num_anchors: int) -> RPNHead:
    """The head of torchvision, whose convolution may change the number of channels."""
    head = RPNHead(hidden, num_anchors)
    if hidden != in_channels:
        block = Conv2dNormActivation(in_channels, hidden, kernel_size=3, norm_layer=None)
        nn.init.normal_(block[0].weight, std=0.01)
        nn.init.zeros_(block[0].bias)
        head.conv = nn.Sequential(block)
    return head
