# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The one vector of an image, from whatever form a backbone of the host gives.

Axis letters: N images, F image feature size, L tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError

__all__ = ['image_feature']


def image_feature(feats: Tensor | Sequence, in_channels: int) -> Tensor:
    """The image feature I of equation (4), (N, F).

    Of several stages the last one counts, as for the host's heads. Its form may be

    - a vector (N, F), taken as it is;
    - a map (N, F, h, w), averaged over its positions;
    - tokens (N, L, F), such as ``out_type='raw'`` of the host's transformers, or (N, F, L), such as
      those of its ``MlpMixer``, averaged over all tokens, a class token among them; which axis is F
      follows from ``in_channels``;
    - several of these. Where some are vectors, they alone count: in [map, class token] the token
      does, as in the host's ``VisionTransformerClsHead``. What is left goes side by side if
      ``in_channels`` is the sum of the sizes (Conformer's two branches), and is averaged if it is
      the size of each (class and distillation token).

    Args:
        feats: What backbone and neck give: a tuple of stages, or one stage.
        in_channels: F.

    Raises:
        UsageError: If the form is another, or F is.
    """
    stage = feats[-1] if isinstance(feats, (tuple, list)) else feats
    if not isinstance(stage, (tuple, list)):
        return _check_channels(_to_vector(stage, in_channels), in_channels)
    parts = [part for part in stage if isinstance(part, Tensor) and part.dim() == 2] or stage
    vectors = [_to_vector(part, in_channels, alone=len(parts) == 1) for part in parts]
    if len(vectors) == 1:
        return _check_channels(vectors[0], in_channels)
    return _join(vectors, in_channels)


def _to_vector(feature: Any, in_channels: int, alone: bool = True) -> Tensor:
    """(N, F) of one vector, map or set of tokens."""
    dims = feature.dim() if isinstance(feature, Tensor) else 0
    if dims == 2:
        return feature
    if dims == 4:
        return feature.mean((2, 3))
    if dims == 3 and alone:
        return feature.mean(_token_axis(feature, in_channels))
    given = tuple(feature.shape) if isinstance(feature, Tensor) else type(feature).__name__
    raise UsageError(
        f'backbone and neck give features of shape {given}: the head takes vectors (N, F), maps '
        "(N, F, h, w) or tokens (N, L, F), so let the backbone give one (out_type='cls_token' or "
        "'avg_featmap' of the host's transformers)"
    )


def _token_axis(tokens: Tensor, in_channels: int) -> int:
    """1 for (N, L, F), 2 for (N, F, L)."""
    first, last = tokens.shape[1:]
    if (first == in_channels) != (last == in_channels):
        return 1 if last == in_channels else 2
    shape = tuple(tokens.shape)
    if first == in_channels:
        raise UsageError(
            f'backbone and neck give tokens of shape {shape}, of which either axis may be the '
            f"{in_channels} channels: let the backbone give a vector (out_type='cls_token' or "
            "'avg_featmap'), or set neck=dict(type='GlobalAveragePooling', dim=1) for (N, F, L)"
        )
    raise UsageError(
        f'the head has in_channels={in_channels}, but backbone and neck give tokens of shape '
        f'{shape}: set in_channels={last} in the head for tokens (N, L, F), or {first} for '
        '(N, F, L)'
    )


def _check_channels(feature: Tensor, in_channels: int) -> Tensor:
    size = feature.shape[1]
    if size != in_channels:
        raise UsageError(
            f'the head has in_channels={in_channels}, but backbone and neck give {size} channels: '
            f'set in_channels={size} in the head'
        )
    return feature


def _join(vectors: Sequence[Tensor], in_channels: int) -> Tensor:
    """Side by side or averaged, as ``in_channels`` says."""
    sizes = [vector.shape[1] for vector in vectors]
    if sum(sizes) == in_channels:
        return torch.cat(list(vectors), 1)
    same = len(set(sizes)) == 1
    if same and sizes[0] == in_channels:
        return torch.stack(list(vectors)).mean(0)
    average = f', or in_channels={sizes[0]} for their average' if same else ''
    raise UsageError(
        f'the head has in_channels={in_channels}, but backbone and neck give {len(sizes)} features '
        f'of {", ".join(map(str, sizes))} channels: set in_channels={sum(sizes)} in the head for '
        f'all side by side{average}'
    )
