# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The CNN-RNN head: any backbone and neck of the host in front, label paths behind.

Axis letters: N images, T steps, C labels, V = C + 1 (labels and END), F image feature size.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ..decoders import LabelDecoder
from ..vocabulary import Vocabulary
from .marginal_branch import MarginalBranch

__all__ = ['CNNRNNHead']


@MODELS.register_module()
class CNNRNNHead(BaseModule):
    """Classify an image with a set of labels as a path through the labels.

    Wang et al., "CNN-RNN: A Unified Framework for Multi-label Image Classification", CVPR 2016.
    The head only wires: :class:`LabelDecoder` holds the model (equations (1) to (5)), the loss
    makes the targets, the postprocessor searches and writes the results.

    It reads ``gt_label`` of each data sample in the order in which the labels stand there: put
    :class:`OrderLabels` into the training pipeline.

    Args:
        num_classes: C, without END.
        in_channels: F, the channels that backbone and neck give.
        embed_dims: D, size of the joint embedding.
        hidden_dims: H, size of the recurrent layer.
        recurrent: ``'relu_lstm'`` (the paper's cell), ``'lstm'``, ``'gru'`` or ``'none'`` (the
            paper's ablation).
        dropout: Probability for both projections of equation (4).
        activation: h of equation (4): ``'relu'``, ``'tanh'`` or ``'identity'``.
        loss: Config of the loss; ``num_classes`` is filled in.
        postprocessor: Config of the postprocessor; ``num_classes`` is filled in.
        marginal_weight: Above zero, train a :class:`MarginalBranch` beside the decoder with this
            weight. It helps a backbone that is trained from scratch to learn to see; the paper has
            none.
        ignore_difficult: Leave the labels of ``gt_label_difficult`` (objects that the annotators
            marked as hard to see) out of the competition of that image's steps unless
            ``gt_label`` has them, too: they are neither learnt nor held against the model.
            ``PackInputs`` has to pass the key on, through its ``meta_keys``.
        share_prefixes: In training, run the recurrent layer once for each distinct prefix of a
            batch instead of once for each label of each image and its padding. The same loss and
            gradients; False for one padded call a batch.
        use_trie: In search, keep what the recurrent layer gave for a label path for all images and
            batches that follow. The same results; False runs it for each hypothesis.
        trie_bytes: Most memory for those paths.
        init_cfg: The host's initialisation config.

    Examples:
        >>> import torch
        >>> from cnnrnn_mm.models import CNNRNNHead
        >>> head = CNNRNNHead(num_classes=5, in_channels=8).eval()
        >>> samples = head.predict((torch.rand(2, 8),))
        >>> samples[0].pred_score.shape
        torch.Size([5])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        embed_dims: int = 64,
        hidden_dims: int = 512,
        recurrent: str = 'lstm',
        dropout: float = 0.5,
        activation: str = 'tanh',
        loss: dict | None = None,
        postprocessor: dict | None = None,
        marginal_weight: float = 0.0,
        ignore_difficult: bool = False,
        share_prefixes: bool = True,
        use_trie: bool = True,
        trie_bytes: int = 256 * 2**20,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.vocabulary = Vocabulary(num_classes)
        self.decoder = LabelDecoder(
            self.vocabulary,
            in_channels=in_channels,
            embed_dims=embed_dims,
            hidden_dims=hidden_dims,
            recurrent=recurrent,
            dropout=dropout,
            activation=activation,
            trie_bytes=trie_bytes,
        )
        self.ignore_difficult = ignore_difficult
        self.share_prefixes = share_prefixes
        self.use_trie = use_trie
        self.loss_module = self._build_part(loss, 'SequenceLoss')
        self.postprocessor = self._build_part(postprocessor, 'BeamSearchPostprocessor')
        self.marginal_branch = (
            MarginalBranch(num_classes, in_channels, marginal_weight) if marginal_weight else None
        )

    def _build_part(self, cfg: dict | None, default_type: str):
        """Build loss or postprocessor, with bare names looked up here whatever the run's scope."""
        cfg = {'type': default_type, '_scope_': SCOPE, **(cfg or {})}
        return MODELS.build(cfg, default_args={'num_classes': self.num_classes})

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """The image feature I (N, F): the last stage; a map is averaged over its positions."""
        feature = feats[-1] if isinstance(feats, (tuple, list)) else feats
        if feature.dim() == 4:
            feature = feature.mean((2, 3))
        if feature.dim() != 2:
            raise UsageError(
                f'backbone and neck give features of shape {tuple(feature.shape)}: the head takes '
                "vectors (N, F) or maps (N, F, H, W), so let the backbone give one (out_type='cls_"
                "token' or 'avg_featmap' of the host's transformers)"
            )
        if feature.shape[-1] != self.in_channels:
            raise UsageError(
                f'the head has in_channels={self.in_channels}, but backbone and neck give '
                f'{feature.shape[-1]} channels: set in_channels={feature.shape[-1]} in the head'
            )
        return feature

    def forward(self, feats: tuple[Tensor, ...], tokens: Tensor | None = None) -> Tensor:
        """Scores of what follows each token.

        Args:
            feats: What backbone and neck give.
            tokens: (N, T) int64, opened by START; None for START alone.

        Returns:
            (N, T, V), not normalised; column C is END.
        """
        return self._score(self.pre_logits(feats), tokens)

    def _score(self, features: Tensor, tokens: Tensor | None) -> Tensor:
        image = self.decoder.project_image(features)
        if tokens is None:
            tokens = image.new_full((len(image), 1), self.vocabulary.start).long()
        return self.decoder(image, tokens)[0]

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], **kwargs
    ) -> dict[str, Tensor]:
        """The loss of a batch under teacher forcing.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples with ``gt_label``, in the order to be learned.
            **kwargs: Passed on to the loss module.

        Returns:
            ``{'loss': scalar}``, and ``'loss_marginal'`` where there is a marginal branch.
        """
        labels = [self._labels_of(sample) for sample in data_samples]
        inputs, targets = self.loss_module.make_sequences(labels)
        features = self.pre_logits(feats)
        valid = self.loss_module.counts(targets)
        if self.share_prefixes:
            image = self.decoder.project_image(features)
            scores = self.decoder.score_sequences(image, inputs, valid)
        else:
            scores = self._score(features, inputs)[valid]
        ignored = None
        if self.ignore_difficult:
            ignored = [self._ignored_of(*pair) for pair in zip(data_samples, labels, strict=True)]
            hidden = self.loss_module.hidden_outputs(ignored, targets)
            kwargs['hidden'] = None if hidden is None else hidden[valid]
        losses = {'loss': self.loss_module(scores, targets[valid], **kwargs)}
        if self.marginal_branch is not None:
            losses['loss_marginal'] = self.marginal_branch.loss(features, labels, ignored)
        return losses

    def predict(
        self,
        feats: tuple[Tensor, ...],
        data_samples: Sequence[DataSample | None] | None = None,
        **kwargs,
    ) -> list[DataSample]:
        """Decode freely; what the samples hold as truth is never read.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples to write into; None, or None entries, make new ones.
            **kwargs: Passed on to the postprocessor, such as constraints of this call.

        Returns:
            The samples, with the fields that the postprocessor documents.
        """
        image = self.decoder.project_image(self.pre_logits(feats))
        step, state = self.decoder.begin_search(
            image, self.use_trie, keep_all=self.postprocessor.revisits
        )
        return self.postprocessor(step, state, data_samples, **kwargs)

    def set_training_order(self, name: str, order: Sequence[int]) -> None:
        """Tell the postprocessor in which order the labels were learnt (:class:`LabelOrderHook`).

        Args:
            name: What the order is called.
            order: All class ids.
        """
        self.postprocessor.set_training_order(name, order)

    @staticmethod
    def _labels_of(sample: DataSample) -> Tensor:
        """``gt_label``, unless the batch was mixed: a path has no fractional labels."""
        if 'gt_label' not in sample:
            raise UsageError(
                "a data sample has no 'gt_label': CNNRNNHead trains on label lists, so let the "
                "dataset give 'gt_label' rather than 'gt_score'"
            )
        if 'gt_score' in sample and bool(((sample.gt_score != 0) & (sample.gt_score != 1)).any()):
            raise UsageError(
                "'gt_score' holds fractional labels: CNNRNNHead can't learn mixed images, remove "
                'Mixup and CutMix from train_cfg.augments'
            )
        return sample.gt_label

    @staticmethod
    def _ignored_of(sample: DataSample, labels: Tensor) -> Tensor:
        """The ids of ``gt_label_difficult`` that ``labels`` lacks."""
        if 'gt_label_difficult' not in sample:
            raise UsageError(
                'ignore_difficult=True needs gt_label_difficult: add it to meta_keys of PackInputs'
            )
        difficult = torch.as_tensor(sample.gt_label_difficult, dtype=torch.long)
        difficult = difficult.to(labels.device).flatten()
        return difficult[~torch.isin(difficult, labels)]
