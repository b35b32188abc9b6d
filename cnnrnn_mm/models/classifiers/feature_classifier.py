# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The host's classifier on features that were computed before.

Axis letters: N images of a batch, F image feature size.
"""

from collections.abc import Sequence
from typing import Any

from mmpretrain.models import ImageClassifier
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..constant_features import check_constant, is_constant, weights_digest

__all__ = ['FeatureClassifier']


@MODELS.register_module()
class FeatureClassifier(ImageClassifier):
    """An ``ImageClassifier`` whose inputs are what its backbone and neck would give.

    Backbone and neck are built, initialised and saved as ever, so that random draws are those of a
    run on images and a checkpoint serves both. They are not run; before the first batch, and again
    whenever weights were loaded, their weights are compared with those that made the features.

    A neck that trains is run: the inputs are then what the backbone alone would give.

    Args:
        features: Where the features come from, for messages.
        feature_shape: (F,) or (F, h, w).
        backbone_digest: Of the backbone's weights when the features were made.
        neck_digest: Of the neck's; of no neck where it trains.
        **kwargs: Those of the host's ``ImageClassifier``.

    Raises:
        UsageError: If the backbone would change in training.
    """

    def __init__(
        self,
        features: str,
        feature_shape: Sequence[int],
        backbone_digest: str,
        neck_digest: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features, self.feature_shape = features, tuple(feature_shape)
        self._digests = {'backbone': backbone_digest, 'neck': neck_digest}
        self._compared = False
        check_constant('backbone', self.backbone)
        self._runs_neck = not is_constant(self.neck)

    def extract_feat(self, inputs: Tensor, stage: str = 'neck') -> tuple[Tensor, ...] | Tensor:
        """Features (N, F) -> the host's tuple of one stage; or what the head makes of it.

        Args:
            inputs: (N, F) or (N, F, h, w).
            stage: ``'neck'`` or ``'pre_logits'``; ``'backbone'`` where the neck trains.

        Raises:
            UsageError: If the inputs are no such features, the stage is another, or the features
                were made with other weights.
        """
        shape = tuple(inputs.shape)
        if shape[1:] != self.feature_shape:
            raise UsageError(
                f'inputs have shape {shape}, not that of features (N, '
                f'{", ".join(map(str, self.feature_shape))}): FeatureClassifier takes the items of '
                'a FeatureDataset; for images use the config without features'
            )
        stages = ('backbone',) * self._runs_neck + ('neck', 'pre_logits')
        if stage not in stages:
            raise UsageError(f"stage '{stage}' is not kept: take {' or '.join(map(repr, stages))}")
        if not self._compared:
            self._compare_weights()
        feats = (inputs,)
        if stage != 'backbone' and self._runs_neck:
            feats = self.neck(feats)
        return self.head.pre_logits(feats) if stage == 'pre_logits' else feats

    def _compare_weights(self) -> None:
        for name, cached in self._digests.items():
            kept = None if name == 'neck' and self._runs_neck else getattr(self, name)
            ours = weights_digest(kept)
            if ours != cached:
                raise UsageError(
                    f'the features in {self.features} were made with other weights of the {name} '
                    f"(digest {cached}) than this run's ({ours}): load the weights that made them, "
                    'or make them anew with tools/extract_features.py and --overwrite'
                )
        self._compared = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Torch's hook for loading; the weights may be others now."""
        self._compared = False
        super()._load_from_state_dict(*args, **kwargs)
