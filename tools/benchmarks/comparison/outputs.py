# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a model says of a split, image by image.

Axis letters: N images, C labels, S samples, M paths, B = ceil(C / 8) bytes of a packed set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cnnrnn_mm.search import expected_f1_sets_independent

__all__ = ['Outputs', 'independent_outputs', 'pack_sets', 'unpack_sets']


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
        samples: Label sets that a model of paths drew, (N, S, B) from :func:`pack_sets`; None for
            others. This and what follows is what mixtures are made from.
        sample_weights: (N, S), each row sums to 1.
        probable: The label sets of its most probable paths, (N, M, B).
        probable_log_probs: (N, M), natural log of P(path); -inf where there are fewer.
        log_known: By setting, (N,): natural log of P(the set holds the known labels), estimated.
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
    samples: Tensor | None = None
    sample_weights: Tensor | None = None
    probable: Tensor | None = None
    probable_log_probs: Tensor | None = None
    log_known: dict[str, Tensor] = field(default_factory=dict)

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
        values = {}
        for one in fields(cls):
            there = [getattr(part, one.name) for part in parts]
            if isinstance(there[0], Tensor):
                values[one.name] = torch.cat(there)
            elif isinstance(there[0], dict):
                values[one.name] = {
                    name: torch.cat([part[name] for part in there]) for name in there[0]
                }
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


def pack_sets(sets: Tensor) -> Tensor:
    """Label sets (..., C) bool in C bits each, (..., B) uint8 on the CPU."""
    return torch.from_numpy(np.packbits(sets.cpu().numpy(), axis=-1))


def unpack_sets(packed: Tensor, num_classes: int) -> Tensor:
    """What :func:`pack_sets` packed, (..., C) bool."""
    return torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1, count=num_classes)).bool()
