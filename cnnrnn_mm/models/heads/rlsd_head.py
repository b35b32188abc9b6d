# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The RLSD head: the CNN-RNN head for images of which many regions are seen.

Axis letters: N images, B regions, T steps, C labels, F region feature size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...errors import UsageError
from ...registry import MODELS
from ..region_fusion import find_fusion, gates_of
from ..regions import Regions
from ..sample_boxes import boxes_of
from .cnn_rnn_head import CNNRNNHead

__all__ = ['RLSDHead']


@MODELS.register_module()
class RLSDHead(CNNRNNHead):
    """Classify an image with a set of labels that its regions agree upon, in a path.

    RLSD (Zhang et al., "Multi-label image classification with regional latent semantic
    dependencies", IEEE Trans. Multimedia 2018), behind a :class:`RegionLocalizationNeck`.
    Everything behind the region features is CNN-RNN's: vocabulary, label order, loss, search,
    postprocessor. How regions become one answer is in :class:`RegionDecoder`.

    Each sample gets what the postprocessor documents, and:

    - ``pred_label_regions`` (n, 4): for each label of ``pred_label`` the region that gave it, x1,
      y1, x2, y2 as shares of width and height of what the network saw; (0, 0, 1, 1) is the whole
      image.

    Args:
        num_classes: C, without END.
        in_channels: F, the channels that the neck gives for a region.
        label_decoder: Config of what scores a region, ``LabelDecoder`` or ``SkipDecoder``; the
            latter reads the marginal branch, which then sees each region, too.
        fusion: Over regions, one of :data:`FUSIONS`, such as ``'max'``.
        start_from_region: False lets the recurrent states start at zero, as in CNN-RNN.
        region_loss: Config of a :class:`RegionProposalLoss`, which trains the proposal network with
            the boxes of the training images; None where image labels alone train it.
        **kwargs: Passed on to :class:`CNNRNNHead`.

    Raises:
        UsageError: If parts do not fit each other.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        label_decoder: dict | None = None,
        fusion: str = 'max',
        start_from_region: bool = True,
        region_loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if 'decoder' in kwargs:
            raise UsageError(
                'RLSDHead has a RegionDecoder: name the decoder of each region as label_decoder'
            )
        decoder = dict(
            type='RegionDecoder',
            label_decoder=label_decoder,
            fusion=fusion,
            start_from_region=start_from_region,
        )
        super().__init__(num_classes, in_channels, decoder=decoder, **kwargs)
        self.fuse = find_fusion(fusion)
        self.region_loss = None
        if region_loss is not None:
            self.region_loss = self._build_part(region_loss, 'RegionProposalLoss')

    def pre_logits(self, feats: tuple[Regions, ...]) -> Tensor:
        """The region features (N, B, F)."""
        return self._regions_of(feats).features

    def _regions_of(self, feats: tuple[Regions, ...]) -> Regions:
        # regions are a tuple, too
        regions = feats if isinstance(feats, Regions) else feats[-1]
        if not isinstance(regions, Regions):
            raise UsageError(
                'backbone and neck give no regions: put a RegionLocalizationNeck in front of '
                'RLSDHead'
            )
        if regions.features.shape[-1] != self.in_channels:
            raise UsageError(
                f'the head has in_channels={self.in_channels}, but the neck gives regions of '
                f'{regions.features.shape[-1]} channels: set '
                f'in_channels={regions.features.shape[-1]} in the head'
            )
        return regions

    def read_images(self, feats: tuple[Regions, ...]) -> tuple[Tensor, Tensor | None]:
        """What the decoder needs of the regions, and what the marginal branch says of the images.

        Args:
            feats: What the neck gives.

        Returns:
            (N, B, E) for the decoder's searches, and logits (N, C), the regions' fused by class;
            None without a marginal branch.
        """
        regions = self._regions_of(feats)
        features = self.feature_dropout(regions.features)
        each = None if self.marginal_branch is None else self.marginal_branch(features)
        image = self.decoder.project_regions(features, regions, each)
        if each is None:
            return image, None
        return image, self.fuse(each, gates_of(regions.log_gates, regions.valid))

    def loss(
        self, feats: tuple[Regions, ...], data_samples: Sequence[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """The loss of a batch under teacher forcing.

        Args:
            feats: What the neck gives.
            data_samples: N samples with ``gt_label`` in the order to be learned, and with
                ``gt_bboxes`` where there is a region loss.
            **kwargs: Passed on to the loss module.

        Returns:
            What :meth:`CNNRNNHead.loss` returns, and what the region loss does.
        """
        losses = super().loss(feats, data_samples, **kwargs)
        if self.region_loss is not None:
            proposals = self._regions_of(feats).proposals
            if proposals is None:
                raise UsageError(
                    "region_loss trains a proposal network, and the neck's regions come from "
                    "elsewhere: set proposals=dict(type='ProposalNetwork') in the neck, or "
                    'region_loss=None in the head'
                )
            boxes = [boxes_of(sample, 'gt_bboxes') for sample in data_samples]
            losses.update(self.region_loss(proposals, boxes))
        return losses

    def predict(
        self,
        feats: tuple[Regions, ...],
        data_samples: Sequence[DataSample | None] | None = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """Decode freely, and name the region of each predicted label.

        Args:
            feats: What the neck gives.
            data_samples: N samples to write into; None, or None entries, make new ones.
            **kwargs: Passed on to the postprocessor, such as constraints of this call.

        Returns:
            The samples, with the fields that the class and the postprocessor document.
        """
        boxes = self._regions_of(feats).boxes
        image, logits = self.read_images(feats)
        samples = self.decode(image, logits, data_samples, **kwargs)
        labels = [sample.pred_label.to(image.device) for sample in samples]
        paths = pad_sequence(labels, batch_first=True)  # (N, T)
        if paths.shape[1] == 0:
            regions = paths
        else:
            start = torch.full_like(paths[:, :1], self.vocabulary.start)
            tokens = torch.cat([start, paths[:, :-1]], 1)
            regions = self.decoder.responsible_regions(image, tokens, paths)
        for index, sample in enumerate(samples):
            chosen = regions[index, : len(labels[index])]
            sample.set_field(boxes[index, chosen].detach(), 'pred_label_regions')
        return samples
