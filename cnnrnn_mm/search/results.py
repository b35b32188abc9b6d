# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From what a search found to its result.

Axis letters: N images, K paths kept, L labels of the longest path found, P of the longest prefix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .tally import Tally
from .types import NEVER, SearchResult

__all__ = ['finished_result']


def finished_result(
    labels: Tensor,
    lengths: Tensor,
    totals: Tensor,
    log_probs: Tensor,
    rest: Tensor,
    tally: Tally,
    prefixes: Sequence[Sequence[int]],
) -> SearchResult:
    """Put the given prefixes before the paths that were found.

    Args:
        labels: (N, K, L), anything after the last label.
        lengths: (N, K).
        totals: (N, K, L), log-probability of the path up to each label; anything after the last.
        log_probs: (N, K), -inf where there is no path.
        rest: (N,).
        tally: Mass of the expanded prefixes.
        prefixes: N lists of given labels.
    """
    missing = (log_probs == NEVER).unsqueeze(-1)
    places = torch.arange(labels.shape[-1], device=labels.device)
    ended = (places >= lengths.unsqueeze(-1)).logical_or_(missing)  # (N, K, L): no label here
    labels = labels.masked_fill_(ended, -1)
    totals = torch.where(ended, log_probs.unsqueeze(-1), totals)
    lower, upper = tally.bounds()
    if any(prefixes):
        labels, lengths, totals = _prepend(labels, lengths, totals, log_probs, prefixes)
        rows = [row for row, prefix in enumerate(prefixes) for _ in prefix]
        known = [label for prefix in prefixes for label in prefix]
        lower[rows, known], upper[rows, known] = 1.0, 1.0
        labels.masked_fill_(missing, -1)
        totals.masked_fill_(missing, NEVER)
    lengths = lengths.masked_fill(missing.squeeze(-1), 0)
    longest = int(lengths.max())
    return SearchResult(
        paths=labels[..., :longest],
        lengths=lengths,
        log_probs=log_probs,
        totals=totals[..., :longest],
        lower=lower,
        upper=upper,
        largest=tally.largest(),
        rest=rest,
        expansions=tally.expansions,
    )


def _prepend(
    labels: Tensor,
    lengths: Tensor,
    totals: Tensor,
    log_probs: Tensor,
    prefixes: Sequence[Sequence[int]],
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (N, K, P + L), lengths (N, K) and totals (N, K, P + L) with the prefixes in front.

    Prefixes of different lengths: everything is written behind the longest one and moved left.
    """
    num_images, num_paths, width = labels.shape
    given = max(map(len, prefixes))
    front = torch.full((num_images, given), -1, device=labels.device)
    for row, prefix in enumerate(prefixes):
        if prefix:
            front[row, given - len(prefix) :] = torch.tensor(prefix, device=labels.device)
    own = torch.tensor([len(prefix) for prefix in prefixes], device=labels.device)  # (N,)
    labels = torch.cat([front.unsqueeze(1).expand(-1, num_paths, -1), labels], -1)
    totals = torch.cat([totals.new_zeros(num_images, num_paths, given), totals], -1)
    move = torch.arange(given + width, device=labels.device) + (given - own).unsqueeze(-1)
    move = move.unsqueeze(1).expand(-1, num_paths, -1)
    outside = move >= given + width
    move = move.clamp(max=given + width - 1)
    labels = labels.gather(-1, move).masked_fill(outside, -1)
    totals = torch.where(outside, log_probs.unsqueeze(-1), totals.gather(-1, move))
    return labels, lengths + own.unsqueeze(-1), totals
