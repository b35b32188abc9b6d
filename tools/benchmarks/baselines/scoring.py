# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One step of a label decoder, from its modules alone: no cache and no shared work.

Axis letters: M hypotheses, V = C + 1 (labels and END), D embedding size.
"""

import torch
from torch import Tensor

from cnnrnn_mm.models.decoders import LabelDecoder

__all__ = ['State', 'score_step', 'score_unnormalised']

State = tuple[Tensor, ...]


def score_unnormalised(
    decoder: LabelDecoder, tokens: Tensor, image: Tensor, state: State
) -> tuple[Tensor, State]:
    """Equations (1) to (5) for tokens (M,), projected images (M, D) and the recurrent state.

    Returns:
        Scores (M, V), and the recurrent state, each tensor with first axis M.
    """
    outputs, state = decoder.recurrent(decoder.embedding(tokens).unsqueeze(1), state)
    joint = decoder.activation(decoder.output_projection(outputs.squeeze(1)) + image)
    return joint @ decoder.embedding.weight[: decoder.vocabulary.num_outputs].T, state


def score_step(
    decoder: LabelDecoder, tokens: Tensor, image: Tensor, state: State
) -> tuple[Tensor, State]:
    """The same as log-probabilities (M, V)."""
    scores, state = score_unnormalised(decoder, tokens, image, state)
    return torch.log_softmax(scores, -1), state
