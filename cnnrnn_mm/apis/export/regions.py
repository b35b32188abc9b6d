# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The regions of a trained localisation neck in operators that can be exported.

Axis letters: N images, F channels of the map, F' region feature size, B' proposals, B = B' + 1
regions, A anchors, Q anchors that NMS sees.
"""

import torch
from mmpretrain.models import GlobalAveragePooling
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image

from ...errors import UsageError
from ...models.necks import RegionLocalizationNeck
from ...models.necks.region_localization_neck import sample_regions
from ...models.proposals import GridProposals, ProposalNetwork
from ...models.regions import Regions

__all__ = ['ExportRegions']


class ExportRegions(nn.Module):
    """:class:`RegionLocalizationNeck` with the same number of regions for every image.

    Where an image has fewer, the others are not valid. The neck pads only up to the image of a
    batch that has most; to the decoder that makes no difference.

    Args:
        neck: Its weights are shared, and it is left as it is.

    Raises:
        UsageError: If its proposals come with the images.
    """

    def __init__(self, neck: RegionLocalizationNeck) -> None:
        super().__init__()
        self.neck = neck
        source = neck.proposals
        if isinstance(source, GridProposals):
            self.propose = self._windows
        elif isinstance(source, ProposalNetwork):
            self.propose = self._network
        else:
            raise UsageError(
                f'{type(source).__name__} can not be exported, since its boxes come with the '
                'images: GridProposals and ProposalNetwork can'
            )

    def forward(self, feats: tuple[Tensor, ...]) -> Regions:
        """Maps (N, F, h, w), the last stage's last -> the regions."""
        maps = feats[-1]
        boxes, valid, log_gates = self.propose(maps)
        whole = boxes.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(boxes.shape[0], 1, -1)
        boxes = torch.cat([whole, torch.where(valid.unsqueeze(2), boxes, whole)], 1)  # (N, B, 4)
        log_gates = pad(log_gates.masked_fill(~valid, 0.0), (1, 0))
        valid = torch.cat([torch.ones_like(valid[:, :1]), valid], 1)
        sampled = sample_regions(maps, boxes, self.neck.sample_size)
        sampled = sampled.flatten(0, 1)  # (N * B, F, s, s)
        if isinstance(self.neck.region_neck, GlobalAveragePooling):
            vectors = sampled.mean((2, 3))  # the host's view() would fix N in the export
        else:
            vectors = self.neck.region_neck((sampled,))
            vectors = vectors[-1] if isinstance(vectors, (tuple, list)) else vectors
        features = vectors.unflatten(0, (-1, int(boxes.shape[1])))  # (N, B, F')
        return Regions(features.masked_fill(~valid.unsqueeze(2), 0.0), boxes, valid, log_gates)

    def _windows(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, B', 4), which are valid (N, B'), and log gates (N, B')."""
        windows = self.neck.proposals.windows
        boxes = windows.expand(maps.shape[0], -1, -1)
        gates = torch.zeros_like(boxes[..., 0])
        return boxes, gates == 0, gates

    def _network(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same from a proposal network, with NMS as ``num_proposals`` choices."""
        source = self.neck.proposals
        logits, deltas = concat_box_prediction_layers(*source.rpn([maps]))
        logits, deltas = logits.view(maps.shape[0], -1), deltas.view(maps.shape[0], -1, 4)
        anchors = source.anchors(*maps.shape[2:])  # (A, 4)
        logits, order = logits.topk(min(source.pre_nms, anchors.shape[0]))  # (N, Q), best first
        deltas = deltas.gather(1, order.unsqueeze(2).expand(-1, -1, 4))
        boxes = source.box_coder.decode_single(deltas.flatten(0, 1), anchors[order].flatten(0, 1))
        boxes = clip_boxes_to_image(boxes.view(-1, order.shape[1], 4), (1, 1))
        sides = boxes[..., 2:] - boxes[..., :2]
        open_ = (sides >= source.min_size).all(-1)  # (N, Q)
        places = torch.arange(order.shape[1], device=maps.device)
        chosen, valid = [], []
        for _ in range(source.num_proposals):
            best = open_.to(torch.uint8).argmax(1, keepdim=True)  # (N, 1), the first one left
            chosen.append(best)
            valid.append(open_.gather(1, best))
            box = boxes.gather(1, best.unsqueeze(2).expand(-1, -1, 4))  # (N, 1, 4)
            open_ = open_ & (places != best) & ~(_overlaps(box, boxes) > source.nms_iou)
        chosen, valid = torch.cat(chosen, 1), torch.cat(valid, 1)
        boxes = boxes.gather(1, chosen.unsqueeze(2).expand(-1, -1, 4))
        return boxes, valid, logsigmoid(logits.gather(1, chosen))


def _overlaps(one: Tensor, others: Tensor) -> Tensor:
    """IoU of a box with others: (N, 1, 4) and (N, Q, 4) -> (N, Q)."""
    inner = torch.minimum(one, others)[..., 2:] - torch.maximum(one, others)[..., :2]
    common = inner.clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (one, others)]
    return common / (areas[0] + areas[1] - common)
