# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Greedy decoding that lets the model repeat itself.

Axis letters: N images, C labels, V = C + 1 (labels and END), T steps.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ...search import NonFiniteScoresError, State, StepFunction
from ..vocabulary import Vocabulary

__all__ = ['UnmaskedGreedyPostprocessor']


@MODELS.register_module()
class UnmaskedGreedyPostprocessor:
    """Take the most probable token of each step until END, repeated labels included.

    Not for use but for diagnosis: the searches never name a label twice, so they hide how often the
    model would. With it ``repeated`` and ``repeated-labels`` of ``LabelSetMetric`` say how far the
    model has learnt that a label is named once.

    Each sample gets ``pred_label`` (n,), in path order, perhaps with repeats, and ``pred_score``
    (C,), the largest probability that any step gave to each label.

    Args:
        num_classes: C. The head fills it in.
        max_length: Most labels; None for C. A path that has not ended by then is cut.

    Raises:
        UsageError: If the length is below 1.
    """

    revisits = False
    marginal_share = 0.0

    def __init__(self, num_classes: int, max_length: int | None = None) -> None:
        if max_length is not None and max_length < 1:
            raise UsageError(f'max_length is {max_length}: set it to 1 or more')
        self.vocabulary = Vocabulary(num_classes)
        self.max_length = num_classes if max_length is None else max_length

    def set_training_order(self, name: str, order: Sequence[int]) -> None:
        """Nothing here depends on it."""

    @torch.no_grad()
    def __call__(
        self,
        step: StepFunction,
        state: State,
        data_samples: Sequence[DataSample | None] | None = None,
        marginals: Tensor | None = None,
    ) -> list[DataSample]:
        """Decode N images.

        Args:
            step: ``(tokens (M,), state) -> (log_probs (M, C + 1), state)``.
            state: The state before the first step, each tensor with first axis N and at least one.
            data_samples: N samples to write into; None, or None entries, make new ones.
            marginals: Not used.

        Returns:
            The N samples.

        Raises:
            NonFiniteScoresError: If the model gives NaN.
        """
        end, device = self.vocabulary.end, state[0].device
        tokens = torch.full((len(state[0]),), self.vocabulary.start, device=device)
        largest = torch.zeros((len(tokens), end), device=device)
        ended, path = torch.zeros_like(tokens, dtype=torch.bool), []
        for _ in range(self.max_length):
            log_probs, state = step(tokens, state)
            if bool(log_probs.isnan().any()):
                broken = log_probs.isnan().any(1).nonzero().flatten().tolist()
                raise NonFiniteScoresError(broken)
            said = log_probs[:, :end].exp().masked_fill(ended.unsqueeze(1), 0.0)
            largest = torch.maximum(largest, said)
            best = log_probs.argmax(1)
            ended = ended | (best == end)
            path.append(best.masked_fill(ended, -1))
            if bool(ended.all()):
                break
            tokens = best.masked_fill(ended, 0)  # what follows an end is not read
        labels = torch.stack(path, 1)
        data_samples = [None] * len(labels) if data_samples is None else data_samples
        samples = [DataSample() if sample is None else sample for sample in data_samples]
        for sample, row, score in zip(samples, labels, largest, strict=True):
            sample.set_pred_label(row[row >= 0])
            sample.set_pred_score(score)
        return samples
