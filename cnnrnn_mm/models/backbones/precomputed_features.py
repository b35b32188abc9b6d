# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The backbone of a run on features that were computed before."""

from mmengine.model import BaseModule
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS

__all__ = ['PrecomputedFeatures']


@MODELS.register_module()
class PrecomputedFeatures(BaseModule):
    """Hand the inputs on as features; nothing is computed and there is no weight.

    It belongs to :class:`FeatureDataset`, and needs no neck.
    """

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Features (N, F) -> the host's tuple of one stage.

        Raises:
            UsageError: If the inputs are no vectors.
        """
        if inputs.dim() != 2:
            raise UsageError(
                f'PrecomputedFeatures got inputs of shape {tuple(inputs.shape)}, not (N, F): use '
                "dataset=dict(type='cnnrnn_mm.FeatureDataset', ...) without image transforms, and "
                'a data_preprocessor without mean and std'
            )
        return (inputs,)
