# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The host's linear head with scores that fit its loss.

Axis letters: N images, C labels, F image feature size.
"""

from collections.abc import Sequence
from typing import Any

from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ..image_feature import image_feature

__all__ = ['LinearLabelHead']

SCORES = {
    'sigmoid': lambda cls_score: cls_score.sigmoid(),
    'softmax': lambda cls_score: cls_score.softmax(-1),
    'raw': lambda cls_score: cls_score,
}


@MODELS.register_module()
class LinearLabelHead(MultiLabelLinearClsHead):
    """The host's ``MultiLabelLinearClsHead`` whose ``pred_score`` is what the loss has trained.

    The host's head always gives sigmoids. Average precision compares the scores of different
    images, and an image's sigmoids of a softmax's inputs are off by whatever was added to all of
    them; a threshold of 0.5 means nothing for them either.

    With ``hidden_dims`` it is a perceptron with one hidden layer, the same as
    :class:`MarginalBranch`; a map (N, F, h, w) is averaged over its positions.

    Args:
        num_classes: C.
        in_channels: F, the channels that backbone and neck give.
        score: What ``pred_score`` holds: ``'sigmoid'`` (binary cross-entropy; the host's head),
            ``'softmax'`` (:class:`MultiLabelSoftmaxLoss`; sums to 1 over the labels) or ``'raw'``
            (:class:`WARPLoss`; any real numbers).
        loss: Config of the loss; bare names are looked up here whatever the run's scope.
        thr: ``pred_label`` holds the labels that score at least this.
        topk: ``pred_label`` holds this many labels, the best first; among equal scores the lower
            class id comes first. Without effect beside ``thr``. Without both, ``thr`` is 0.5 for
            sigmoids, and missing for others.
        hidden_dims: Size of a hidden layer with ReLU; 0 for a linear classifier.
        dropout: Probability for the input and the hidden layer, in [0, 1).
        **kwargs: Passed on to the host's head; its ``init_cfg`` is that of the host for a linear
            classifier, and torch's own start with a hidden layer.

    Raises:
        UsageError: If an option is unknown, missing or out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        score: str = 'sigmoid',
        loss: dict | None = None,
        thr: float | None = None,
        topk: int | None = None,
        hidden_dims: int = 0,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if score not in SCORES:
            raise UsageError(f'score is {score!r}: choose from {", ".join(SCORES)}')
        if score != 'sigmoid' and thr is None and topk is None:
            raise UsageError(
                f"score is '{score}', which has no natural threshold: set topk, the labels an "
                'image gets, or thr'
            )
        if topk is not None and not 1 <= topk <= num_classes:
            raise UsageError(f'topk is {topk}: set it to a value in 1..{num_classes}')
        if hidden_dims < 0 or not 0 <= dropout < 1:
            raise UsageError(
                f'hidden_dims is {hidden_dims} and dropout is {dropout}: set hidden_dims to 0 or '
                'more and dropout to a value in [0, 1)'
            )
        if hidden_dims:
            kwargs.setdefault('init_cfg', None)
        loss = {'type': 'CrossEntropyLoss', 'use_sigmoid': True} if loss is None else loss
        loss = MODELS.build({'_scope_': SCOPE, **loss})
        super().__init__(
            num_classes, hidden_dims or in_channels, loss=loss, thr=thr, topk=topk, **kwargs
        )
        self.in_channels = in_channels
        self.score = score
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(in_channels, hidden_dims) if hidden_dims else None

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """What the classifier reads: the image feature (N, F), or the hidden layer (N, hidden)."""
        return self.hide(self.dropout(image_feature(feats, self.in_channels)))

    def hide(self, inputs: Tensor) -> Tensor:
        """The hidden layer with ReLU and dropout, if there is one."""
        return inputs if self.hidden is None else self.dropout(self.hidden(inputs).relu())

    def _get_predictions(
        self, cls_score: Tensor, data_samples: Sequence[DataSample] | None
    ) -> list[DataSample]:
        """Write ``pred_score`` (C,) and ``pred_label`` (n,) of each image."""
        pred_scores = SCORES[self.score](cls_score.float())  # (N, C)
        if self.thr is None:
            labels = pred_scores.sort(dim=-1, descending=True, stable=True).indices[:, : self.topk]
        else:
            labels = [(one >= self.thr).nonzero().squeeze(1) for one in pred_scores]
        if data_samples is None:
            data_samples = [DataSample() for _ in pred_scores]
        for sample, score, label in zip(data_samples, pred_scores, labels, strict=True):
            sample.set_pred_score(score).set_pred_label(label)
        return list(data_samples)
