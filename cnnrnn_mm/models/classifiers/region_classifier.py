# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The host's classifier for necks that read what comes with the images."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from .feature_classifier import FeatureClassifier

__all__ = ['FeatureRegionClassifier', 'RegionClassifier']


@MODELS.register_module()
class RegionClassifier(ImageClassifier):
    """An ``ImageClassifier`` that hands the data samples to its neck, too.

    :class:`RegionLocalizationNeck` needs it for regions that come from a file
    (:class:`GivenProposals`); with other sources of regions it does what ``ImageClassifier`` does.

    Args:
        *args: Those of the host's ``ImageClassifier``.
        **kwargs: Likewise.

    Raises:
        UsageError: If the neck takes no data samples.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.neck is None or 'data_samples' not in signature(self.neck.forward).parameters:
            given = 'no neck' if self.neck is None else f'the neck {type(self.neck).__name__}'
            raise UsageError(
                f'{type(self).__name__} has {given}, which takes no data samples: set '
                "neck=dict(type='cnnrnn_mm.RegionLocalizationNeck', ...), or set "
                "type='ImageClassifier' for the model"
            )

    def locate(self, inputs: Tensor, data_samples: Sequence[DataSample] | None) -> tuple:
        """What the neck makes of the backbone's maps and the samples."""
        return self.neck(self.extract_feat(inputs, stage='backbone'), data_samples)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """See the host's ``ImageClassifier.loss``."""
        return self.head.loss(self.locate(inputs, data_samples), data_samples)

    def predict(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs: Any
    ) -> list[DataSample]:
        """See the host's ``ImageClassifier.predict``."""
        return self.head.predict(self.locate(inputs, data_samples), data_samples, **kwargs)


@MODELS.register_module()
class FeatureRegionClassifier(RegionClassifier, FeatureClassifier):
    """:class:`RegionClassifier` on maps that were computed before (:class:`FeatureClassifier`)."""
