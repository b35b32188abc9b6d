# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What data samples hold of a search.

Axis letters: N images, C labels, K paths kept.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...search import SearchResult

__all__ = ['label_scores', 'write_samples']


def write_samples(
    samples: Sequence[DataSample],
    result: SearchResult,
    labels: Sequence[Tensor],
    scores: Tensor,
    sets: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Copy a result to the host once, and hand out plain slices.

    Args:
        samples: N samples to write into.
        result: The search's.
        labels: N tensors (n_i,), ``pred_label``.
        scores: (N, C), ``pred_score``.
        sets: Bounds (N,) of the log-probabilities of the best paths' label sets; None for none.
    """
    paths, lengths = result.paths.tolist(), result.lengths.tolist()
    counts = result.log_probs.isfinite().sum(-1).tolist()
    proven, gaps = result.proven.tolist(), result.gaps.tolist()
    steps = result.step_log_probs
    for index, sample in enumerate(samples):
        count, best = counts[index], lengths[index][0]
        sample.set_pred_label(labels[index])
        sample.set_pred_score(scores[index])
        fields = dict(
            pred_score_lower=result.lower[index],
            pred_score_upper=result.upper[index],
            pred_paths=[paths[index][k][: lengths[index][k]] for k in range(count)],
            pred_path_log_probs=result.log_probs[index, :count],
            pred_step_log_probs=steps[index, 0, : best + 1],
            pred_proven=proven[index],
            pred_gap=gaps[index],
        )
        if sets is not None:
            fields['pred_set_log_prob_lower'] = float(sets[0][index])
            fields['pred_set_log_prob_upper'] = float(sets[1][index])
        for name, value in fields.items():
            sample.set_field(value, name)


def label_scores(result: SearchResult) -> Tensor:
    """The point estimate (N, C) of P(label in set): see docs/scores.md.

    Halfway between the mass that names the label and the largest probability that any step gave
    it, and never outside the certified bounds.
    """
    middle = (result.lower + result.largest) / 2
    return torch.minimum(torch.maximum(middle, result.lower), result.upper)
