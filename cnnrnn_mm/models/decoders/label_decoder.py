# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The joint image-label model of CNN-RNN, equations (1) to (5).

Axis letters: N images, M paths, C labels, V = C + 1 (labels and END), D embedding size, F image
feature size.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS
from ..vocabulary import Vocabulary
from .path_decoder import PathDecoder

__all__ = ['ACTIVATIONS', 'LabelDecoder', 'find_activation']

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    'relu': torch.relu,
    'tanh': torch.tanh,
    'identity': torch.positive,
}


def find_activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function called ``name`` in :data:`ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise UsageError(
            f"activation '{name}' is not known: choose one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


@MODELS.register_module()
class LabelDecoder(PathDecoder):
    """The decoder of the CNN-RNN paper.

    ==================================  ==================  =======================================
    part                                equation            here
    ==================================  ==================  =======================================
    w_k = U_l e_k                       2                   ``embedding`` (one row a token)
    o(t), r(t) = RNN(r(t-1), w_k(t))    1, 3                ``recurrent``
    x_t = h(U_o o(t) + U_I I)           4                   ``output_projection``,
                                                            ``image_projection``, ``activation``
    s(t) = U_l^T x_t                    5                   the first V rows of ``embedding``
    ==================================  ==================  =======================================

    The image enters at every step, and nowhere else: the recurrent state depends on labels alone.
    The input and the output embedding are one matrix. Its END row is only read at the output, its
    START row only at the input.

    The paper does not name h and does not say whether the scores have a bias; here h is a choice
    and there is none beside U_l.

    Args:
        vocabulary: Token ids; gives C.
        in_channels: F.
        embed_dims: D.
        hidden_dims: H.
        recurrent: ``'relu_lstm'`` (the paper's cell), ``'lstm'``, ``'gru'`` or ``'none'``.
        dropout: Probability for both projections, in [0, 1).
        activation: h in equation (4): ``'relu'``, ``'tanh'`` or ``'identity'``.
        **kwargs: Passed on to :class:`PathDecoder`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        in_channels: int,
        embed_dims: int = 64,
        hidden_dims: int = 512,
        recurrent: str = 'lstm',
        dropout: float = 0.5,
        activation: str = 'tanh',
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, embed_dims, hidden_dims, recurrent, dropout, **kwargs)
        self.activation = find_activation(activation)
        self.image_projection = nn.Linear(in_channels, embed_dims)
        self._start_embedding()

    def project_image(self, features: Tensor, marginal_logits: Tensor | None = None) -> Tensor:
        """U_I I: (N, F) -> (N, D)."""
        return self.dropout(self.image_projection(features))

    def score(self, paths: Tensor, image: Tensor, tokens: Tensor) -> Tensor:
        """Equations (4) and (5): (M, D) and (M, D) -> (M, V)."""
        joint = self.activation(self.dropout(paths) + image)
        return joint @ self.embedding.weight[: self.vocabulary.num_outputs].T

    def label_vectors(self) -> Tensor:
        """U_l, the rows of the labels: (C, D)."""
        return self.embedding.weight[: self.vocabulary.num_classes]

    def image_vectors(self, features: Tensor) -> Tensor:
        """h(U_I I), equation (4) without a label path: (N, F) -> (N, D)."""
        return self.activation(self.image_projection(features))
