# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a model says of a split, image by image. Axis letters: N images, C labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cnnrnn_mm.search import expected_f1_sets_independent

__all__ = ['Outputs', 'independent_outputs']


@dataclass
class Outputs:
    """All that the figures of a model are computed from.

    Attributes:
        target: True labels (N, C) bool.
        ignored: Labels that count neither way, (N, C) bool.
        scores: ``pred_score`` (N, C).
        predicted: ``pred_label`` as sets (N, C) bool.
        expected: The sets of the highest expected example-F1, (N, C) bool.
        log_prob: (N,), natural log of P(true set given image), or a lower bound of it.
        log_prob_upper: (N,), an upper bound; the same where it is known exactly.
        logits: (N, C) of one sigmoid a label; None for models of paths.
        completion: Scores (N, C) by setting, where they depend on the known labels.
    """

    target: Tensor
    ignored: Tensor
    scores: Tensor
    predicted: Tensor
    expected: Tensor
    log_prob: Tensor
    log_prob_upper: Tensor
    logits: Tensor | None = None
    completion: dict[str, Tensor] = field(default_factory=dict)

    @property
    def independent(self) -> bool:
        """Whether the labels of an image are independent of each other."""
        return self.logits is not None

    def save(self, path: Path) -> None:
        """Replace a file in one step; it holds nothing but tensors and plain types."""
        beside = path.with_name(f'.{path.name}.new')
        torch.save({one.name: getattr(self, one.name) for one in fields(self)}, beside)
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> 'Outputs':
        """Read what :meth:`save` wrote."""
        return cls(**torch.load(path, weights_only=True))

    @classmethod
    def joined(cls, parts: Sequence['Outputs']) -> 'Outputs':
        """The images of several batches, in their order."""
        first = parts[0]
        values = {}
        for one in fields(cls):
            if isinstance(getattr(first, one.name), Tensor):
                values[one.name] = torch.cat([getattr(part, one.name) for part in parts])
        for name in first.completion:
            scores = torch.cat([part.completion[name] for part in parts])
            values.setdefault('completion', {})[name] = scores
        return cls(**values)


def independent_outputs(
    target: Tensor, ignored: Tensor, logits: Tensor, predicted: Tensor | None = None, **kwargs
) -> Outputs:
    """What follows from one sigmoid a label.

    Args:
        target: (N, C) bool.
        ignored: (N, C) bool.
        logits: (N, C); those of a mixture of models are log p - log(1 - p) of its probabilities.
        predicted: (N, C) bool; None for the labels that are more probable than not.
        **kwargs: Other fields of :class:`Outputs`.
    """
    logits = logits.double()
    losses = functional.binary_cross_entropy_with_logits(logits, target.double(), reduction='none')
    log_prob = -losses.sum(1)
    return Outputs(
        target=target,
        ignored=ignored,
        scores=logits.sigmoid().float(),
        predicted=logits > 0 if predicted is None else predicted,
        expected=expected_f1_sets_independent(logits.sigmoid())[0],
        log_prob=log_prob,
        log_prob_upper=log_prob,
        logits=logits,
        **kwargs,
    )
