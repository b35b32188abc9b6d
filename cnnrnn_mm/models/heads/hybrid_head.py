# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label paths beside one of the host's multi-label heads, on one backbone.

Axis letters: N images, C labels, F image feature size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..decoders import BaseDecoder
from ..postprocessors import PathPostprocessor
from ..vocabulary import Vocabulary
from .hybrid_parts import build_head, build_neck, check_heads, label_feature
from .label_masks import mask_ignored

__all__ = ['FITTED', 'HybridHead']

#: Stands for a share that is in the checkpoint.
FITTED = 'fitted'
#: The share that a checkpoint has before one is fitted.
FIRST_SHARE = 0.5


@MODELS.register_module()
class HybridHead(BaseModule):
    """Train a head of label paths and a multi-label head of the host together, and pool them.

    Both read what backbone and neck give. Each may have a neck of its own: one that needs maps, as
    ``CSRAClsHead`` does, gets them where the model has no neck. Maps are averaged over their
    positions for all other heads (:func:`image_feature`). Of regions (:class:`Regions`) the label
    head sees the whole image.

    Paths are those of the path head alone, as are their probabilities, proofs, certified bounds and
    constraints. What is pooled is ``pred_score``::

        pred_score = (1 - w) * (estimate of P(label in set) from paths) + w * sigmoid(label head)

    a linear opinion pool of probabilities. Decisions that look at scores (``ThresholdDecision``)
    see the pooled ones. Each sample gets what the postprocessor documents, and what the label head
    answers by itself:

    - ``pred_score_independent`` (C,): its sigmoids;
    - ``pred_label_independent`` (n,): the labels over its ``thr``, or its ``topk`` best.

    Args:
        num_classes: C, filled into both heads.
        path_head: Config of a :class:`CNNRNNHead` (the default type) or :class:`RLSDHead`.
        label_head: Config of one of the host's multi-label heads, or :class:`LinearLabelHead` with
            sigmoids; ``MultiLabelLinearClsHead`` is the default type.
        in_channels: F, filled into both heads where they lack it.
        share: w, one number in [0, 1] for all labels, or C of them; ``'fitted'`` for what the
            checkpoint holds: 0.5 until ``tools/choose_share.py`` has put a share there that was
            fitted on validation photos.
        path_weight: Factor of the path head's losses.
        label_weight: Factor of the label head's loss.
        path_neck: Config of a neck in front of the path head alone; None for none.
        label_neck: Likewise, of the label head.
        init_cfg: The host's initialisation config.

    Raises:
        UsageError: If parts do not fit each other, or an option is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        path_head: dict,
        label_head: dict,
        in_channels: int | None = None,
        share: float | Sequence[float] | str = FITTED,
        path_weight: float = 1.0,
        label_weight: float = 1.0,
        path_neck: dict | None = None,
        label_neck: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        for name, weight in (('path_weight', path_weight), ('label_weight', label_weight)):
            if not 0 <= weight < float('inf'):
                raise UsageError(f'{name} is {weight}: set it to 0 or more')
        self.num_classes = num_classes
        self.loss_weights = {'path': path_weight, 'label': label_weight}
        filled = dict(num_classes=num_classes, in_channels=in_channels)
        self.path_head = build_head(path_head, 'CNNRNNHead', **filled)
        self.label_head = build_head(label_head, 'MultiLabelLinearClsHead', **filled)
        self.path_neck, self.label_neck = build_neck(path_neck), build_neck(label_neck)
        check_heads(self.path_head, self.label_head, num_classes)
        # A share of the config follows the config; a fitted one goes with the weights.
        self.register_buffer('share', torch.empty(num_classes), persistent=share == FITTED)
        self.set_share(FIRST_SHARE if share == FITTED else share)

    # What hooks, tools and searches ask of a head of paths is the path head's.

    @property
    def decoder(self) -> BaseDecoder:
        """The path head's decoder."""
        return self.path_head.decoder

    @property
    def postprocessor(self) -> PathPostprocessor:
        """The path head's postprocessor."""
        return self.path_head.postprocessor

    @property
    def vocabulary(self) -> Vocabulary:
        """The path head's tokens."""
        return self.path_head.vocabulary

    @property
    def use_trie(self) -> bool:
        """Whether the path head's searches remember label paths."""
        return self.path_head.use_trie

    @property
    def ignore_difficult(self) -> bool:
        """Whether labels of ``gt_label_difficult`` are left out of both losses."""
        return self.path_head.ignore_difficult

    def set_training_order(self, name: str, order: Sequence[int]) -> None:
        """See :meth:`CNNRNNHead.set_training_order`."""
        self.path_head.set_training_order(name, order)

    @torch.no_grad()
    def set_share(self, share: float | Sequence[float] | str | Tensor) -> None:
        """Set w.

        Args:
            share: In [0, 1], for all labels or (C,).

        Raises:
            UsageError: If it is out of range, or not one for each label.
        """
        try:
            value = torch.as_tensor(share, dtype=torch.float)
        except (TypeError, ValueError):
            value = torch.empty(0)
        fits = value.shape in ((), self.share.shape)
        if not fits or not bool(((value >= 0) & (value <= 1)).all()):
            raise UsageError(
                f'share is {share}: set it to a value in [0, 1], to {self.num_classes} of them, or '
                f"to '{FITTED}'"
            )
        self.share.copy_(value)

    def path_feats(self, feats: tuple) -> tuple:
        """What the path head reads."""
        return feats if self.path_neck is None else self.path_neck(feats)

    def label_logits(self, feats: tuple) -> Tensor:
        """Logits (N, C) of the label head."""
        feature = label_feature(feats, self.label_neck, self.label_head, self.num_classes)
        return self.label_head((feature,))

    def pre_logits(self, feats: tuple) -> Tensor:
        """The path head's image feature."""
        return self.path_head.pre_logits(self.path_feats(feats))

    def forward(self, feats: tuple, tokens: Tensor | None = None) -> Tensor:
        """The path head's scores of what follows each token (:meth:`CNNRNNHead.forward`)."""
        return self.path_head(self.path_feats(feats), tokens)

    def read_images(self, feats: tuple) -> tuple[Tensor, Tensor]:
        """What the decoder's searches need of the images, and the label head's logits (N, C)."""
        return self.path_head.read_images(self.path_feats(feats))[0], self.label_logits(feats)

    def loss(
        self, feats: tuple, data_samples: Sequence[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """The losses of both heads.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples with ``gt_label``, in the order to be learned.
            **kwargs: Passed on to the loss modules of both.

        Returns:
            Those of the path head under ``path_...``, that of the label head under ``label_...``,
            times their weights.
        """
        logits = self.label_logits(feats)
        if self.ignore_difficult:
            logits = mask_ignored(logits, data_samples)
        found = {
            'path': self.path_head.loss(self.path_feats(feats), data_samples, **kwargs),
            'label': self.label_head._get_loss(logits, data_samples, **kwargs),
        }
        return {
            f'{name}_{key}': value * self.loss_weights[name] if 'loss' in key else value
            for name, losses in found.items()
            for key, value in losses.items()
        }

    def predict(
        self,
        feats: tuple,
        data_samples: Sequence[DataSample | None] | None = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """Decode freely, and pool the scores; what the samples hold as truth is never read.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples to write into; None, or None entries, make new ones.
            **kwargs: Passed on to the postprocessor, such as constraints of this call.

        Returns:
            The samples, with the fields that the class and the postprocessor document.
        """
        logits = self.label_logits(feats).detach()
        samples = self.path_head.predict(
            self.path_feats(feats), data_samples, **self.pooled(logits.float().sigmoid()), **kwargs
        )
        return self.write_independent(logits, samples)

    def pooled(self, probabilities: Tensor) -> dict[str, Tensor]:
        """What the postprocessor has to know of the label head, as its arguments.

        Args:
            probabilities: (N, C) of the label head.
        """
        return dict(marginals=probabilities, marginal_share=self.share)

    def write_independent(self, logits: Tensor, samples: list[DataSample]) -> list[DataSample]:
        """Write what the label head answers by itself into N samples, for its logits (N, C)."""
        answers = self.label_head._get_predictions(logits.float(), None)
        for sample, answer in zip(samples, answers, strict=True):
            sample.set_field(answer.pred_score, 'pred_score_independent')
            sample.set_field(answer.pred_label, 'pred_label_independent')
        return samples
