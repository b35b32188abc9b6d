# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Region proposals that come with the images.

Axis letters: N images, B' proposals of the image that has most.
"""

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..regions import Proposals
from ..sample_boxes import boxes_of
from .proposal_source import ProposalSource

__all__ = ['GivenProposals']


@MODELS.register_module()
class GivenProposals(ProposalSource):
    """Boxes that the dataset gives, in its order, best first: field ``proposals`` of the sample.

    An image that has fewer than are asked for keeps those it has; one without any keeps the whole
    image alone.
    """

    def forward(
        self, maps: Tensor, data_samples: Sequence[DataSample] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Proposals | None]:
        """See :meth:`ProposalSource.forward`. Log gates are 0.

        Raises:
            UsageError: If there are no data samples.
        """
        if data_samples is None:
            raise UsageError(
                'GivenProposals needs the data samples, which the host does not hand to a neck: '
                "set type='cnnrnn_mm.RegionClassifier' for the model"
            )
        boxes = [boxes_of(sample, 'proposals')[: self.num_proposals] for sample in data_samples]
        # At least single precision: half would move a box by a thousandth of the image.
        padded, valid = self.pad([one.to(maps.device).float() for one in boxes])
        return padded, valid, padded.new_zeros(valid.shape), None
