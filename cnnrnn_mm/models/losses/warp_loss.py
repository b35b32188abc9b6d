# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Weighted approximate-rank pairwise loss.

Axis letters: N images, C labels, P pairs of an image and one of its true labels, Q of them that
have a violating label.
"""

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS

__all__ = ['WARPLoss']


@MODELS.register_module()
class WARPLoss(nn.Module):
    """Rank-weighted hinge between each true label of an image and a label that violates the margin.

    Weston et al., "WSABIE: Scaling Up To Large Vocabulary Image Annotation", IJCAI 2011, algorithm
    1; for several labels an image as in Gong et al., "Deep Convolutional Ranking for Multilabel
    Image Annotation", ICLR 2014, section 3.2. It is the "WARP" baseline of the CNN-RNN paper.

    For a true label j of an image with n true labels, labels are drawn from its C - n others, with
    replacement, until one violates the margin: ``f_k > f_j - margin``. After t draws the rank of j
    is estimated as ``floor((C - n) / t)``, and the pair adds ``L(rank) (margin - f_j + f_k)`` with
    L(r) = 1 + 1/2 + ... + 1/r. A pair adds nothing when ``max_trials`` draws find no violator.

    Nothing is drawn one by one: with v violators among C - n labels, t has a geometric
    distribution of success probability v / (C - n), and whichever violator is found, each is
    equally likely. One draw of each for all pairs of the batch has the same distribution as the
    loop. The draws come from torch's generator of the scores' device, so the run's seed decides
    them.

    The terms of an image are summed, and the images averaged. Images without labels, and those that
    have all C, add nothing.

    Args:
        margin: Of the hinge.
        exact_rank: Take the true margin rank v and the mean hinge of all violators instead of draws
            (equation (4) of WSABIE): nothing is random, and every violator has a gradient.
        max_trials: Most draws for a pair; None for the C - n of its image.
        loss_weight: Factor of the whole loss.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        margin: float = 1.0,
        exact_rank: bool = False,
        max_trials: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if margin <= 0:
            raise UsageError(f'margin is {margin}: set it above 0')
        if max_trials is not None and max_trials < 1:
            raise UsageError(f'max_trials is {max_trials}: set it to 1 or more, or to None')
        self.margin = margin
        self.exact_rank = exact_rank
        self.max_trials = max_trials
        self.loss_weight = loss_weight

    def forward(self, cls_score: Tensor, target: Tensor, avg_factor: float | None = None) -> Tensor:
        """The loss of a batch: a scalar.

        Args:
            cls_score: (N, C), any real numbers.
            target: (N, C), 1 for the true labels and 0 for the others.
            avg_factor: What the sum over images is divided by; None for N.

        Raises:
            UsageError: If a target is neither 0 nor 1.
        """
        scores = cls_score.to(torch.promote_types(cls_score.dtype, torch.float32))
        total = self._sum_of_terms(scores, self._positives(target))
        return self.loss_weight * total / (len(scores) if avg_factor is None else avg_factor)

    def _sum_of_terms(self, scores: Tensor, positive: Tensor) -> Tensor:
        image, label = positive.nonzero(as_tuple=True)  # (P,)
        own = scores[image, label]  # (P,)
        with torch.no_grad():
            others = scores[image].masked_fill(positive[image], -torch.inf)  # (P, C)
            violating = others > own.unsqueeze(1) - self.margin
            counts = violating.sum(1)
            rows = counts.nonzero().squeeze(1)  # (Q,)
        image, own, violating, counts = (one[rows] for one in (image, own, violating, counts))
        weights = rank_weights(scores)
        if self.exact_rank:
            hinges = (self.margin - own.unsqueeze(1) + scores[image]) * violating  # (Q, C)
            return (weights[counts] * hinges.sum(1) / counts).sum()
        negatives = (~positive).sum(1)[image]  # (Q,)
        trials = draw_trials(counts, negatives)
        most = negatives if self.max_trials is None else negatives.clamp(max=self.max_trials)
        ranks = (negatives // trials).masked_fill(trials > most, 0)
        hinges = self.margin - own + scores[image, draw_violators(violating)]
        return (weights[ranks] * hinges).sum()

    @staticmethod
    def _positives(target: Tensor) -> Tensor:
        positive = target == 1
        strange = target[~positive & (target != 0)]
        if len(strange):
            raise UsageError(
                f'a target is {strange[0].item():g}: WARPLoss ranks labels that are true (1) above '
                'those that are not (0), so remove Mixup and CutMix, and labels listed twice'
            )
        return positive


def rank_weights(scores: Tensor) -> Tensor:
    """L(0) = 0, L(1), ..., L(C), in the type and on the device of the scores (N, C): (C + 1,)."""
    places = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=torch.float64)
    return torch.cat([places.new_zeros(1), (1 / places).cumsum(0)]).to(scores.dtype)


def draw_trials(violators: Tensor, negatives: Tensor) -> Tensor:
    """Draws until the first violator, with replacement.

    Args:
        violators: (Q,), each at least 1.
        negatives: (Q,), the number of labels drawn from, at least as many.

    Returns:
        (Q,) int64 from 1 on, distributed as the number of draws.
    """
    share = violators.double() / negatives
    uniform = torch.rand(share.shape, dtype=torch.float64, device=share.device)  # in [0, 1)
    return (torch.log1p(-uniform) / torch.log1p(-share)).floor().long() + 1


def draw_violators(violating: Tensor) -> Tensor:
    """For each row of a boolean (Q, C), one of its true columns, each as likely: (Q,) int64."""
    if not len(violating):
        return violating.new_zeros(0, dtype=torch.long)
    return torch.multinomial(violating.float(), 1).squeeze(1)
