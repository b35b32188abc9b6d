# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A mixture of models of label paths, which may name their labels in different orders.

Axis letters: K members, N images, C labels, S samples, M paths, B bytes of a packed set.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cnnrnn_mm.search import expected_f1_sets

from .outputs import Outputs, unpack_sets

__all__ = ['mix_models']


def mix_models(members: Sequence[Outputs]) -> Outputs:
    """One of K models answers, each as likely: P(set) is the mean of theirs.

    - ``scores`` are the mean, as are the bounds of P(true set).
    - ``predicted`` is the set with the highest P(set) among the M most probable paths of each
      member. A member's P(set) is that of the path in its order, or the sum over the paths of the
      set that it lists; 0 where it lists none, which is less than its M-th path has.
    - ``expected`` is from the samples of all members.
    - With known labels a member counts as much as it gave them probability (Bayes' rule).

    What depends on the members' sequence is rounding alone.
    """
    first = members[0]
    known = {name: _mean_given(members, name) for name in first.completion}
    samples = torch.cat([one.samples for one in members], 1)  # (N, K S, B)
    weights = torch.cat([one.sample_weights for one in members], 1)
    num_classes = first.target.shape[1]
    return Outputs(
        target=first.target,
        ignored=first.ignored,
        scores=torch.stack([one.scores.double() for one in members]).mean(0).float(),
        predicted=unpack_sets(_most_probable(members), num_classes),
        expected=expected_f1_sets(unpack_sets(samples, num_classes), weights)[0],
        log_prob=_log_mean([one.log_prob for one in members]),
        log_prob_upper=_log_mean([one.log_prob_upper for one in members]),
        completion=known,
    )


def _log_mean(log_probs: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(log_probs)).logsumexp(0) - math.log(len(log_probs))


def _mean_given(members: Sequence[Outputs], setting: str) -> Tensor:
    """Scores (N, C) where some labels are known."""
    weights = torch.stack([one.log_known[setting] for one in members]).softmax(0)  # (K, N)
    scores = torch.stack([one.completion[setting].double() for one in members])
    return (weights.unsqueeze(-1) * scores).sum(0).float()


def _most_probable(members: Sequence[Outputs]) -> Tensor:
    """The packed sets (N, B) with the highest sum of P(set) over the members."""
    listed = torch.cat([one.probable for one in members], 1)  # (N, K M, B)
    probs = torch.cat([one.probable_log_probs for one in members], 1).exp()
    best = torch.empty_like(listed[:, 0])
    for image, (rows, values) in enumerate(zip(listed, probs, strict=True)):
        sets, place = rows.unique(dim=0, return_inverse=True)
        best[image] = sets[values.new_zeros(len(sets)).index_add_(0, place, values).argmax()]
    return best
