# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Negative log-likelihood of the label set, whatever the order.

Axis letters: N images, K orders of an image, S paths of all images, T steps, M steps that count,
V = C + 1 (labels and END).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS
from ..decoders import BatchScorer
from .order_free import draw_orders, drop_true, refuse_fixed_order
from .sequence_loss import SequenceLoss

__all__ = ['LabelSetLoss']


@MODELS.register_module()
class LabelSetLoss(nn.Module):
    """Mean over images of -log of an estimate of P(label set given image).

    P(set) is the sum over the n! orders of a set of P(l_1, ..., l_n, END given image), equation (6)
    of the CNN-RNN paper; Qin et al., "Adapting RNN Sequence Prediction Model to Multi-label Set
    Prediction", NAACL 2019, train on it. Here K orders of each image are drawn anew at each step::

        loss = -(log sum_k P(path_k) + log n! - log K)

    which is exact for sets of at most K orders: all are taken. For others the sum of probabilities
    is unbiased, so the mean of the loss is not below -log P(set), and the nearer to it the larger
    K is (Jensen's inequality).

    With K = 1 it is training in a new random order at each step. There log n! does not depend on
    the model and has no gradient: it makes the value a bound of -log P(set), comparable over sets
    of all sizes, but it does not change what is learnt. From K = 2 on, each path's gradient is
    weighted by its share of the sum, so the model may settle on orders of its own.

    The order in which the labels are given has no influence. There is no label smoothing, and there
    are no weights of labels and END: what is summed here are probabilities.

    Args:
        num_classes: C. The head fills it in.
        num_orders: K.
        loss_weight: Factor of the whole loss.
        **refused: Options of :class:`SequenceLoss` that it has not.

    Raises:
        UsageError: If an option is out of range or is one of those.
    """

    def __init__(
        self, num_classes: int, num_orders: int = 1, loss_weight: float = 1.0, **refused: Any
    ) -> None:
        super().__init__()
        if refused:
            raise UsageError(
                f'LabelSetLoss has no option {", ".join(refused)}: it sums probabilities, which '
                'leaves no room for smoothing and weights; leave it out or use SequenceLoss'
            )
        if num_orders < 1:
            raise UsageError(f'num_orders is {num_orders}: set it to 1 or more')
        self.num_orders = num_orders
        self.loss_weight = loss_weight
        self.sequences = SequenceLoss(num_classes)

    def compute(
        self,
        scorer: BatchScorer,
        labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch: a scalar.

        Args:
            scorer: The model that has seen the N images.
            labels: N int64 tensors (n_i,), each label once, in any order.
            ignored: Likewise, ids that do not compete in an image; None for none.

        Raises:
            UsageError: If a label is outside 0..C-1 or comes twice, or the decoder knows one
                order only.
        """
        refuse_fixed_order(scorer, type(self).__name__)
        labels = [one.sort().values for one in labels]
        inputs, targets = self.sequences.make_sequences(labels)  # (N, T)
        lengths = [len(one) for one in labels]
        orders, images = (part.to(targets.device) for part in draw_orders(lengths, self.num_orders))
        inputs = torch.cat([inputs[images, :1], inputs[images, 1:].gather(1, orders)], 1)  # (S, T)
        ordered = targets[images, :-1].gather(1, orders)
        ordered = torch.cat([ordered, targets[images, -1:]], 1)
        valid = self.sequences.counts(ordered)
        paths = valid.nonzero()[:, 0]  # (M,)
        scores = scorer.score(inputs, valid, images).float()  # (M, V)
        if ignored is not None:
            hidden = self.sequences.hidden_outputs(drop_true(ignored, labels), targets[:, :1])
            if hidden is not None:
                scores = scores.masked_fill(hidden[images[paths], 0], -torch.inf)
        steps = scores.log_softmax(-1).gather(1, ordered[valid].unsqueeze(1)).squeeze(1)
        totals = torch.zeros(len(images), dtype=torch.double, device=steps.device)
        log_probs = totals.index_add(0, paths, steps.double())  # (S,)
        loss = self(log_probs, images, torch.tensor(lengths, device=images.device))
        return loss.to(steps.dtype)

    def forward(self, log_probs: Tensor, images: Tensor, lengths: Tensor) -> Tensor:
        """The loss of a batch: a scalar.

        Args:
            log_probs: (S,), natural log of P(path), each path in an order of its own.
            images: (S,) int64, ascending, the image of each path; at least one for each image.
            lengths: (N,) int64, the number of labels of each image.
        """
        counts = torch.bincount(images, minlength=len(lengths))  # (N,), K each
        starts = counts.cumsum(0) - counts
        places = torch.arange(len(images), device=images.device) - starts[images]
        table = log_probs.new_full((len(lengths), int(counts.max())), -torch.inf)
        table = table.index_put((images, places), log_probs)
        orders = torch.lgamma(lengths.to(log_probs.dtype) + 1)  # log n!
        sets = table.logsumexp(1) + orders - counts.to(log_probs.dtype).log()
        return -self.loss_weight * sets.mean()
