# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Training without a label order: the true labels go where the model says them.

Axis letters: N images, C labels, V = C + 1 (labels and END), L labels of the longest list,
T = L + 1 steps, M steps that count.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..decoders import BatchScorer
from .alignment import align_labels, finite, keep_named, name_labels
from .order_free import drop_true, refuse_fixed_order
from .sequence_loss import SequenceLoss

__all__ = ['AlignedSequenceLoss']

ALIGNMENTS = ('pla', 'mla')


@MODELS.register_module()
class AlignedSequenceLoss(SequenceLoss):
    """Sequence loss whose order is found for each image, from what the model says by itself.

    Yazici et al., "Orderless Recurrent Models for Multi-label Classification", CVPR 2020. For an
    image of n labels, the model names n labels by itself, and these are the inputs of its steps;
    there is no teacher forcing. The n true labels are then assigned to the n label steps, and END
    is the target of step n + 1:

    - ``'mla'``, minimal loss alignment: the assignment of least loss, of all n!;
    - ``'pla'``, predicted label alignment: a true label that one of the n steps named stays there,
      and the others are assigned to the steps that are left, with the least loss.

    The order in which the labels are given has no influence.

    The paper's code feeds back the most probable output whatever it is, END and labels that were
    named before included, and aligns labels that only a step behind the n-th predicted. Here the
    model goes its own way as search does: the most probable label that was not named yet, and never
    END. So every input is a prefix that search may come to, and what counts as named is what was
    named within the n steps. Under ``'mla'`` a label may still be assigned to a step behind the one
    that named it.

    Args:
        num_classes: C. The head fills it in.
        alignment: ``'pla'`` or ``'mla'``.
        **kwargs: The options of :class:`SequenceLoss`. Class weights count in the assignment;
            label smoothing and the weight of END are the same for all assignments.

    Raises:
        UsageError: If an option is unknown or out of range.
    """

    def __init__(self, num_classes: int, alignment: str = 'pla', **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        if alignment not in ALIGNMENTS:
            raise UsageError(f'alignment is {alignment!r}: choose from {", ".join(ALIGNMENTS)}')
        self.alignment = alignment

    def compute(
        self,
        scorer: BatchScorer,
        labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch on the model's own labels: a scalar.

        Args:
            scorer: The model that has seen the N images.
            labels: N int64 tensors (n_i,), each label once, in any order.
            ignored: Likewise, ids that do not compete in an image and that it does not name by
                itself; None for none.

        Raises:
            UsageError: If a label is outside 0..C-1 or comes twice, or the decoder knows one
                order only.
        """
        refuse_fixed_order(scorer, type(self).__name__)
        labels = [one.sort().values for one in labels]
        inputs, targets = self.make_sequences(labels)  # (N, T)
        valid = self.counts(targets)
        lengths = [len(one) for one in labels]
        hidden = None
        if ignored is not None:
            hidden = self.hidden_outputs(drop_true(ignored, labels), targets)  # (N, T, V)
        named = self._name(scorer, lengths, hidden)  # (N, L)
        body = inputs[:, 1:]
        inputs = torch.cat([inputs[:, :1], named.where(valid[:, 1:], body)], 1)
        scores = scorer.score(inputs, valid)  # (M, V)
        hidden = None if hidden is None else hidden[valid]
        places = self._align(scores.detach(), hidden, targets, valid, named, lengths)
        aligned = torch.cat([targets[:, :-1].gather(1, places), targets[:, -1:]], 1)
        return self(scores, aligned[valid], hidden)

    def _name(self, scorer: BatchScorer, lengths: list[int], hidden: Tensor | None) -> Tensor:
        """What the model names by itself, (N, L)."""
        step, state = scorer.begin()
        shape = len(lengths), self.vocabulary.num_classes
        if hidden is None:
            barred = torch.zeros(shape, dtype=torch.bool, device=scorer.image.device)
        else:
            barred = hidden[:, 0, : shape[1]]
        return name_labels(step, state, self.vocabulary.start, lengths, barred)

    def _align(
        self,
        scores: Tensor,
        hidden: Tensor | None,
        targets: Tensor,
        valid: Tensor,
        named: Tensor,
        lengths: list[int],
    ) -> Tensor:
        """Which of an image's labels each of its steps gets, (N, L)."""
        scores = scores.float()
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        losses = -self.weight * scores.log_softmax(-1)  # (M, V)
        counts = valid.sum(1)
        steps = (counts.cumsum(0) - counts).unsqueeze(1) + torch.arange(
            named.shape[1], device=counts.device
        )
        steps = steps.clamp(max=len(losses) - 1)  # (N, L), rows of the scores
        labels = targets[:, :-1]  # END and padding are never named
        columns = labels.clamp(0, self.vocabulary.end)
        costs = finite(losses[steps.unsqueeze(2), columns.unsqueeze(1)])  # (N, L, L)
        if self.alignment == 'pla':
            inside = torch.arange(named.shape[1], device=counts.device) < counts.unsqueeze(1) - 1
            costs = keep_named(costs, named.masked_fill(~inside, -1), labels)
        return align_labels(costs, lengths)
