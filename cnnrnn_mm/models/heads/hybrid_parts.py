# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What :class:`HybridHead` is put together from.

Axis letters: N images, C labels, F image feature size.
"""

import inspect
from typing import Any

from mmpretrain.models import CSRAClsHead, MultiLabelClsHead
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ..image_feature import image_feature
from ..postprocessors import PathPostprocessor
from ..regions import Regions
from .cnn_rnn_head import CNNRNNHead

__all__ = ['build_head', 'build_neck', 'check_heads', 'label_feature']


def build_head(cfg: dict, default_type: str, **filled: Any) -> Any:
    """Build a head, and fill in those arguments that it names and its config lacks."""
    cfg = {'type': default_type, '_scope_': SCOPE, **cfg}
    kind = MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    named = () if kind is None else inspect.signature(kind).parameters
    given = {key: value for key, value in filled.items() if key in named and value is not None}
    return MODELS.build(cfg, default_args=given)


def build_neck(cfg: dict | None) -> nn.Module | None:
    """Build a branch's own neck, if it has one."""
    return None if cfg is None else MODELS.build({'_scope_': SCOPE, **cfg})


def check_heads(path_head: nn.Module, label_head: nn.Module, num_classes: int) -> None:
    """Refuse heads whose scores can't be pooled."""
    if not isinstance(path_head, CNNRNNHead):
        raise UsageError(f'path_head is a {type(path_head).__name__}: take CNNRNNHead or RLSDHead')
    if not isinstance(label_head, MultiLabelClsHead):
        raise UsageError(
            f"label_head is a {type(label_head).__name__}: take one of the host's multi-label "
            'heads, such as MultiLabelLinearClsHead or CSRAClsHead'
        )
    for name, head in (('path_head', path_head), ('label_head', label_head)):
        count = getattr(head, 'num_classes', num_classes)
        if count != num_classes:
            raise UsageError(
                f'{name} has num_classes={count}, HybridHead {num_classes}: leave it out of {name}'
            )
    score = getattr(label_head, 'score', 'sigmoid')
    if score != 'sigmoid':
        raise UsageError(
            f"label_head has score='{score}', which is no probability of each label: set it to "
            "'sigmoid', with a loss that trains one"
        )
    post = path_head.postprocessor
    if not isinstance(post, PathPostprocessor):
        raise UsageError(
            f'{type(post).__name__} gives no probabilities to pool: let path_head have a '
            'BeamSearchPostprocessor or BestFirstPostprocessor'
        )
    if post.marginal_share > 0:
        raise UsageError(
            f'the postprocessor of path_head has marginal_share={post.marginal_share}, and '
            'HybridHead pools scores, too: set it to 0, and share in HybridHead'
        )


def label_feature(
    feats: tuple, neck: nn.Module | None, head: nn.Module, num_classes: int
) -> Tensor:
    """What a multi-label head reads: (N, F), or maps (N, F, h, w) for ``CSRAClsHead``.

    Args:
        feats: What backbone and neck give; the last stage counts.
        neck: The label head's own, or None.
        head: The label head.
        num_classes: C; a head without a layer of its own takes the feature for its scores.
    """
    feature = _last(feats)
    if isinstance(feature, Regions):
        feature = feature.features[:, 0]  # region 0 is the whole image
    if neck is not None:
        feature = _last(neck((feature,)))
    if not isinstance(head, CSRAClsHead):
        return image_feature((feature,), getattr(head, 'in_channels', num_classes))
    if not isinstance(feature, Tensor) or feature.dim() != 4:
        given = tuple(feature.shape) if isinstance(feature, Tensor) else type(feature).__name__
        raise UsageError(
            f"CSRAClsHead reads maps (N, F, h, w), and gets {given}: leave out the model's neck, "
            'and set path_neck if the path head needs one'
        )
    return feature


def _last(feats: Any) -> Any:
    return feats[-1] if isinstance(feats, (tuple, list)) else feats
