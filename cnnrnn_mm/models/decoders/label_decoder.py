# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The joint image-label model of CNN-RNN, equations (1) to (5).

Axis letters: N sequences, T steps, C labels, V = C + 1 (labels and END), D embedding size,
H recurrent size, F image feature size.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import UsageError
from ..vocabulary import Vocabulary
from .recurrent import State, build_recurrent_layer

__all__ = ['LabelDecoder']

ACTIVATIONS = {'relu': torch.relu, 'tanh': torch.tanh, 'identity': lambda x: x}


class LabelDecoder(BaseModule):
    """Scores of the next label, given the labels so far and the image.

    ==================================  ==================  =======================================
    part                                equation            here
    ==================================  ==================  =======================================
    w_k = U_l e_k                       (2)                 ``embedding`` (one row a token)
    o(t), r(t) = RNN(r(t-1), w_k(t))    (1), (3)            ``recurrent``
    x_t = h(U_o o(t) + U_I I)           (4)                 ``output_projection``,
                                                            ``image_projection``, ``activation``
    s(t) = U_l^T x_t                    (5)                 the first V rows of ``embedding``
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
        init_cfg: The host's initialisation config.
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
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"activation '{activation}' is not known: choose one of {', '.join(ACTIVATIONS)}"
            )
        self.vocabulary = vocabulary
        self.activation = ACTIVATIONS[activation]
        self.embedding = nn.Embedding(vocabulary.num_inputs, embed_dims)
        self.recurrent = build_recurrent_layer(recurrent, embed_dims, hidden_dims)
        self.output_projection = nn.Linear(hidden_dims, embed_dims, bias=False)
        self.image_projection = nn.Linear(in_channels, embed_dims)
        self.dropout = nn.Dropout(dropout)
        # Unit-variance rows would start the tied scores at a spread of sqrt(D).
        nn.init.normal_(self.embedding.weight, std=embed_dims**-0.5)

    def project_image(self, features: Tensor) -> Tensor:
        """U_I I: (N, F) -> (N, D)."""
        return self.dropout(self.image_projection(features))

    def initial_state(self, image: Tensor) -> State:
        """The recurrent state before START, for projected images (N, D)."""
        return self.recurrent.initial_state(image)

    def forward(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Score what follows each token.

        Args:
            image: (N, D) from :meth:`project_image`.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            state: The recurrent state before ``tokens``; None for the start of the sequence.

        Returns:
            Scores (N, T, V), not normalised, and the state after the last token.
        """
        if state is None:
            state = self.initial_state(image)
        outputs, state = self.recurrent(self.embedding(tokens), state)  # (N, T, H)
        projected = self.dropout(self.output_projection(outputs))  # (N, T, D)
        joint = self.activation(projected + image.unsqueeze(1))  # (N, T, D), equation (4)
        scores = joint @ self.embedding.weight[: self.vocabulary.num_outputs].T  # (N, T, V)
        return scores, state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for a search: tokens (M,) -> log-probabilities (M, V).

        The search's state is the projected image (M, D) followed by the recurrent state.
        """
        image, *recurrent = state
        scores, recurrent = self(image, tokens.unsqueeze(1), tuple(recurrent))
        return scores.squeeze(1).float().log_softmax(-1), (image, *recurrent)
