# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The CNN-RNN head: any backbone and neck of the host in front, label paths behind.

Axis letters: N images, T steps, C labels, V = C + 1 (labels and END), F image feature size.
"""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ..decoders import BatchScorer
from ..image_feature import image_feature
from ..vocabulary import Vocabulary
from .marginal_branch import MarginalBranch
from .sample_labels import ignored_of, labels_of

__all__ = ['CNNRNNHead']


@MODELS.register_module()
class CNNRNNHead(BaseModule):
    """Classify an image with a set of labels as a path through the labels.

    Wang et al., "CNN-RNN: A Unified Framework for Multi-label Image Classification", CVPR 2016.
    The head only wires: the decoder holds the model (:class:`LabelDecoder`, equations (1) to (5)),
    the loss makes the targets, the postprocessor searches and writes the results.

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
        decoder: Config of the decoder; the five arguments above are filled in. The paper's is
            ``LabelDecoder``; ``SkipDecoder`` and ``ChainDecoder`` are not the paper's, and read the
            marginal branch.
        loss: Config of the loss; ``num_classes`` is filled in.
        postprocessor: Config of the postprocessor; ``num_classes`` is filled in.
        marginal: Arguments of a :class:`MarginalBranch`, one sigmoid a label that is trained beside
            the decoder; None for none. It helps a backbone that is trained from scratch to learn to
            see, and some decoders build on it; the paper has none.
        feature_dropout: Probability for the image feature, in [0, 1), before everything else.
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
        decoder: dict | None = None,
        loss: dict | None = None,
        postprocessor: dict | None = None,
        marginal: dict | None = None,
        feature_dropout: float = 0.0,
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
        self.decoder = self._build_part(
            decoder,
            'LabelDecoder',
            vocabulary=self.vocabulary,
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
        self.loss_module = self._build_part(loss, 'SequenceLoss', num_classes=num_classes)
        self.postprocessor = self._build_part(
            postprocessor, 'BeamSearchPostprocessor', num_classes=num_classes
        )
        self.marginal_branch = (
            None if marginal is None else MarginalBranch(num_classes, in_channels, **marginal)
        )
        self.feature_dropout = nn.Dropout(feature_dropout) if feature_dropout else nn.Identity()
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.decoder.bars_labels and getattr(self.loss_module, 'label_smoothing', 0) > 0:
            raise UsageError(
                f'{type(self.decoder).__name__} gives barred labels no probability, so none of '
                "the target can be spread over them: set the loss's label_smoothing to 0"
            )
        if self.marginal_branch is not None:
            return
        for part, asks in (
            (self.decoder, self.decoder.takes_marginals),
            (self.postprocessor, self.postprocessor.marginal_share > 0),
        ):
            if asks:
                raise UsageError(
                    f'{type(part).__name__} reads the marginal branch, and the head has none: set '
                    'marginal=dict() in the head'
                )

    @staticmethod
    def _build_part(cfg: dict | None, default_type: str, **filled: Any) -> Any:
        """Build a part, with bare names looked up here whatever the run's scope."""
        cfg = {'type': default_type, '_scope_': SCOPE, **(cfg or {})}
        return MODELS.build(cfg, default_args=filled)

    def pre_logits(self, feats: tuple[Any, ...]) -> Tensor:
        """The image feature I (N, F): the last stage, pooled by :func:`image_feature`."""
        return image_feature(feats, self.in_channels)

    def forward(self, feats: tuple[Any, ...], tokens: Tensor | None = None) -> Tensor:
        """Scores of what follows each token.

        Args:
            feats: What backbone and neck give.
            tokens: (N, T) int64, opened by START; None for START alone.

        Returns:
            (N, T, V), not normalised; column C is END.
        """
        image, _ = self.read_images(feats)
        if tokens is None:
            tokens = image.new_full((len(image), 1), self.vocabulary.start).long()
        return self.decoder(image, tokens)[0]

    def read_images(self, feats: tuple[Any, ...]) -> tuple[Tensor, Tensor | None]:
        """What the decoder needs of the images, and what the marginal branch says.

        Args:
            feats: What backbone and neck give.

        Returns:
            (N, E) for the decoder's searches, and logits (N, C); None without a marginal branch.
        """
        features = self.feature_dropout(self.pre_logits(feats))
        logits = None if self.marginal_branch is None else self.marginal_branch(features)
        return self.decoder.project_image(features, logits), logits

    def loss(
        self, feats: tuple[Any, ...], data_samples: Sequence[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """The loss of a batch under teacher forcing.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples with ``gt_label``, in the order to be learned.
            **kwargs: Passed on to the loss module.

        Returns:
            ``{'loss': scalar}``, and ``'loss_marginal'`` where there is a marginal branch.
        """
        labels = [labels_of(sample) for sample in data_samples]
        ignored = None
        if self.ignore_difficult:
            ignored = [ignored_of(*pair) for pair in zip(data_samples, labels, strict=True)]
        image, logits = self.read_images(feats)
        scorer = BatchScorer(self.decoder, image, self.share_prefixes)
        losses = {'loss': self.loss_module.compute(scorer, labels, ignored, **kwargs)}
        if self.marginal_branch is not None and logits is not None:
            losses['loss_marginal'] = self.marginal_branch.loss(logits, labels, ignored)
        return losses

    def predict(
        self,
        feats: tuple[Any, ...],
        data_samples: Sequence[DataSample | None] | None = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """Decode freely; what the samples hold as truth is never read.

        Args:
            feats: What backbone and neck give.
            data_samples: N samples to write into; None, or None entries, make new ones.
            **kwargs: Passed on to the postprocessor, such as constraints of this call.

        Returns:
            The samples, with the fields that the postprocessor documents.
        """
        return self.decode(*self.read_images(feats), data_samples, **kwargs)

    def decode(
        self,
        image: Tensor,
        logits: Tensor | None,
        data_samples: Sequence[DataSample | None] | None = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """:meth:`predict` from what :meth:`read_images` gave."""
        step, state = self.decoder.begin_search(
            image, self.use_trie, keep_all=self.postprocessor.revisits
        )
        if logits is not None:
            kwargs.setdefault('marginals', logits.float().sigmoid())
        return self.postprocessor(step, state, data_samples, **kwargs)

    def set_training_order(self, name: str, order: Sequence[int]) -> None:
        """Tell the parts in which order the labels are learnt (:class:`LabelOrderHook`).

        Args:
            name: What the order is called.
            order: All class ids.

        Raises:
            UsageError: If a part needs a single order, and the name says that there is none.
        """
        self.decoder.set_order(name, order)
        self.postprocessor.set_training_order(name, order)
