# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Cross-entropy of label sequences.

Axis letters: N images, T steps (the longest label list of the batch and END), C labels,
V = C + 1 (labels and END).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...registry import MODELS
from ..decoders import BatchScorer
from ..vocabulary import Vocabulary

__all__ = ['SequenceLoss']

PADDING = -100


@MODELS.register_module()
class SequenceLoss(nn.Module):
    """Mean over images of -log P(l_1, ..., l_n, END given image), equation (6).

    It owns what a label list becomes: START before the inputs, END after the targets, padding up to
    the longest list, and the mask that keeps padding out of the loss. The steps of an image are
    summed and the images averaged, so the value depends neither on padding nor on how a batch is
    split over processes of equal share. An image without labels is a target of its own: END at
    the first step.

    Args:
        num_classes: C. The head fills it in.
        label_smoothing: Share of each step's target that is spread evenly over the V outputs, in
            [0, 1).
        class_weight: C factors, one for the steps that predict each label; None for all 1.
        end_weight: The factor for the steps that predict END.
        loss_weight: Factor of the whole loss.

    Raises:
        UsageError: If an option is out of range.
    """

    weight: Tensor

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        class_weight: Sequence[float] | None = None,
        end_weight: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UsageError(f'label_smoothing is {label_smoothing}: set it to a value in [0, 1)')
        if class_weight is not None and len(class_weight) != num_classes:
            raise UsageError(
                f'class_weight has {len(class_weight)} entries for {num_classes} classes: '
                'give one for each class'
            )
        weight = [*([1.0] * num_classes if class_weight is None else class_weight), end_weight]
        if min(weight) < 0:
            raise UsageError(f'a weight of {min(weight)} is negative: set it to 0 or more')
        self.vocabulary = Vocabulary(num_classes)
        self.label_smoothing = label_smoothing
        self.loss_weight = loss_weight
        self.register_buffer('weight', torch.tensor(weight), persistent=False)

    def compute(
        self,
        scorer: BatchScorer,
        labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch under teacher forcing: a scalar.

        Args:
            scorer: The model that has seen the N images.
            labels: N int64 tensors (n_i,), each label once, in the order to be learned.
            ignored: Likewise, ids that do not compete in an image; None for none.
        """
        inputs, targets = self.make_sequences(labels)
        valid = self.counts(targets)
        scores = scorer.score(inputs, valid)
        hidden = None if ignored is None else self.hidden_outputs(ignored, targets)
        return self(scores, targets[valid], None if hidden is None else hidden[valid])

    def make_sequences(self, labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Turn the ordered label lists of N images into what the decoder reads and must say.

        Args:
            labels: N int64 tensors (n_i,), each label once, in the order to be learned.

        Returns:
            Inputs (N, T), which start with START and hold valid tokens throughout, and targets
            (N, T), which close with END and are ``PADDING`` behind it.

        Raises:
            UsageError: If a label is outside 0..C-1 or comes twice in an image.
        """
        flat = torch.cat(list(labels))
        lengths = torch.tensor([len(one) for one in labels], device=flat.device)
        rows = torch.arange(len(labels), device=flat.device).repeat_interleave(lengths)
        starts = lengths.cumsum(0) - lengths
        places = torch.arange(len(flat), device=flat.device) - starts[rows]
        shape = (len(labels), 1 + max(len(one) for one in labels))
        inputs = torch.full(shape, self.vocabulary.end, device=flat.device)
        targets = torch.full(shape, PADDING, device=flat.device)
        inputs[:, 0] = self.vocabulary.start
        inputs[rows, places + 1] = flat
        targets[rows, places] = flat
        targets[torch.arange(len(labels), device=flat.device), lengths] = self.vocabulary.end
        self._check(labels, inputs, lengths)
        return inputs, targets

    def hidden_outputs(self, ignored: Sequence[Tensor], targets: Tensor) -> Tensor | None:
        """Which outputs do not compete at which step, for labels that are neither true nor false.

        Args:
            ignored: N int64 tensors of class ids, such as those of difficult objects.
            targets: (N, T) from :meth:`make_sequences`.

        Returns:
            (N, T, V) bool, without the targets themselves; None where nothing is ignored.

        Raises:
            UsageError: If an id is outside 0..C-1.
        """
        flat = torch.cat(list(ignored))
        if not len(flat):
            return None
        outside = flat[(flat < 0) | (flat >= self.vocabulary.num_classes)]
        if len(outside):
            raise UsageError(
                f'ignored label {outside[0].item()} is outside '
                f'0..{self.vocabulary.num_classes - 1}: correct the annotation or set num_classes'
            )
        lengths = torch.tensor([len(one) for one in ignored], device=flat.device)
        rows = torch.arange(len(ignored), device=flat.device).repeat_interleave(lengths)
        hidden = flat.new_zeros(len(ignored), self.vocabulary.num_outputs, dtype=torch.bool)
        hidden[rows, flat] = True
        said = targets.masked_fill(targets == PADDING, self.vocabulary.end)
        return hidden.unsqueeze(1).expand(*targets.shape, -1).scatter(2, said.unsqueeze(-1), False)

    def forward(self, scores: Tensor, targets: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The loss of a batch: a scalar.

        Args:
            scores: (N, T, V), or (M, V) for the M targets that are not padding; not normalised.
            targets: (N, T) or (M,), one END for each image.
            hidden: Like ``scores``, bool: outputs that do not compete. None for none.
        """
        scores, flat = scores.flatten(0, -2).float(), targets.flatten()
        weight, shares = self.weight, self.label_smoothing / self.vocabulary.num_outputs
        if hidden is not None:
            hidden = hidden.flatten(0, -2)
            scores = scores.masked_fill(hidden, -torch.inf)
            shares = self.label_smoothing / (~hidden).sum(-1, keepdim=True)
        log_probs = scores.log_softmax(-1)
        total = (1 - self.label_smoothing) * functional.nll_loss(
            log_probs, flat, weight=weight, ignore_index=PADDING, reduction='sum'
        )
        if self.label_smoothing:
            spread = log_probs if hidden is None else log_probs.masked_fill(hidden, 0.0)
            total = total - (shares * spread * weight)[flat != PADDING].sum()
        return self.loss_weight * total / (targets == self.vocabulary.end).sum()

    @staticmethod
    def counts(targets: Tensor) -> Tensor:
        """Which targets (N, T) are not padding: (N, T) bool."""
        return targets != PADDING

    def _check(self, labels: Sequence[Tensor], inputs: Tensor, lengths: Tensor) -> None:
        """One comparison for the whole batch; the slow look for the culprit only on failure."""
        body = inputs[:, 1:]
        ordered = body.sort(-1).values
        repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] < self.vocabulary.end)
        # A label equal to END would look like padding, therefore the true lengths are compared.
        valid = (body >= 0) & (body < self.vocabulary.end)
        if bool((valid.sum(-1) == lengths).all() & ~repeated.any()):
            return
        num_classes = self.vocabulary.num_classes
        for index, one in enumerate(labels):
            values = one.tolist()
            outside = [value for value in values if not 0 <= value < num_classes]
            if outside:
                raise UsageError(
                    f'label {outside[0]} of image {index} of the batch is outside '
                    f'0..{num_classes - 1}: correct the annotation or set num_classes'
                )
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise UsageError(
                    f'label {twice[0]} comes twice in image {index} of the batch: list each '
                    'label of an image once'
                )
