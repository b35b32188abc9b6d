# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which labels to name, given a distribution over label sets, or scores.

Axis letters: N images, S samples of each, C labels, U labels that some sample holds, k the size of
a set, Q quadrature points. F1 of two empty sets is 1 throughout.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError

__all__ = ['best_threshold', 'expected_f1_sets', 'expected_f1_sets_independent', 'threshold_sets']

#: Tables of one call to the library stay below this many bytes.
TABLE_BYTES = 2**26

#: What differs by less counts as equal, so that ties do not hang on rounding.
DECIMALS = 12


@torch.no_grad()
def expected_f1_sets(sets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The label sets with the highest expected example-F1 under weighted samples, exactly.

    For each size k the best set holds the k labels with the largest sum over samples of
    ``w_s [label in s] 2 / (k + |s|)``: the general F-measure maximiser (Dembczynski et al., NeurIPS
    2011; Waegeman et al., JMLR 2014). Among equals the smaller set wins, then lower class ids.

    Args:
        sets: (N, S, C) bool.
        weights: (N, S), not negative, normalised here.

    Returns:
        The sets (N, C) bool, and their expected F1 (N,) float64.

    Raises:
        UsageError: If shapes do not fit, or the weights of an image are negative, not finite or
            all 0.
    """
    if sets.dim() != 3 or weights.shape != sets.shape[:2]:
        raise UsageError(
            f'sets are {tuple(sets.shape)} and weights {tuple(weights.shape)}: give (N, S, C) and '
            '(N, S)'
        )
    weights = weights.double()
    total = weights.sum(-1, keepdim=True)
    if not bool((weights >= 0).all() and (total > 0).all() and total.isfinite().all()):
        raise UsageError('weights of samples are negative, not finite or all 0: give others')
    weights = weights / total
    num_images, num_samples, num_labels = sets.shape
    found = torch.zeros((num_images, num_labels), dtype=torch.bool, device=sets.device)
    values = torch.zeros(num_images, dtype=torch.float64, device=sets.device)
    room = 8 * max(num_samples, num_labels) * num_labels
    for part in _parts(num_images, room):
        found[part], values[part] = _maximise(sets[part], weights[part])
    return found, values


def _maximise(sets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`expected_f1_sets` of few images at once."""
    sizes = sets.sum(-1)  # (N, S)
    empty = torch.where(sizes == 0, weights, 0.0).sum(-1, keepdim=True)  # (N, 1)
    # Labels that no sample holds add nothing; the others come first, by class id.
    held = (sets & (weights > 0).unsqueeze(-1)).any(1)  # (N, C)
    width = int(held.sum(-1).max())
    labels = held.byte().argsort(dim=-1, descending=True, stable=True)[:, :width]  # (N, U)
    inside = sets.gather(2, labels.unsqueeze(1).expand(-1, sets.shape[1], -1)).double()
    size = torch.arange(1, max(int(sizes.max()), 1) + 1, device=sets.device)
    by_size = (sizes.unsqueeze(1) == size.view(-1, 1)) * weights.unsqueeze(1)  # (N, sizes, S)
    k = torch.arange(1, width + 1, device=sets.device, dtype=torch.float64)
    gains = (2.0 / (k.unsqueeze(-1) + size)) @ (by_size @ inside)  # (N, k, U)
    # Rounded for the ranking alone, not for the values.
    order = gains.round(decimals=DECIMALS).argsort(dim=-1, descending=True, stable=True)
    values = (
        gains.gather(-1, order).cumsum(-1).diagonal(dim1=1, dim2=2)
    )  # (N, k), of the k first ones
    best, value = _smallest_best(torch.cat([empty, values], -1))
    row = (best - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, width)
    chosen = labels.gather(1, order.gather(1, row).squeeze(1)) if width else labels
    taken = torch.arange(width, device=sets.device) < best.unsqueeze(-1)
    return torch.zeros_like(held).scatter(1, chosen, taken), value


@torch.no_grad()
def expected_f1_sets_independent(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """The same for labels that are independent of each other.

    The best set of size k holds the k most probable labels (Lewis, SIGIR 1995). Its expected F1 is
    the sum over its labels of ``E[label 2 / (k + |s|)]``, in which ``1 / (k + |s|)`` is the
    integral of ``x^(k + |s| - 1)`` over [0, 1], and ``E[x^|s|]`` the product of ``1 - p + p x``
    over the labels: the generating function of the Poisson binomial distribution of ``|s|``. The
    integrand is a polynomial in x of degree below 2 C, which C points of Gauss-Legendre quadrature
    integrate exactly, with positive terms only: O(C^2) an image.

    Args:
        probabilities: (N, C) in [0, 1].

    Returns:
        The sets (N, C) bool, and their expected F1 (N,) float64.

    Raises:
        UsageError: If a value is outside [0, 1] or NaN.
    """
    if probabilities.dim() != 2 or not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise UsageError('probabilities are not (N, C) in [0, 1]: give probabilities, not logits')
    num_images, num_labels = probabilities.shape
    p, order = probabilities.double().sort(dim=-1, descending=True, stable=True)
    points, point_weights = (one.to(p.device) for one in _quadrature(num_labels))
    k = torch.arange(1, num_labels + 1, device=p.device)
    powers = 2.0 * point_weights.unsqueeze(-1) * points.unsqueeze(-1) ** k  # (Q, k)
    sizes = torch.zeros(num_images, dtype=torch.long, device=p.device)
    values = torch.zeros(num_images, dtype=torch.float64, device=p.device)
    for part in _parts(num_images, 8 * num_labels**2):
        one = p[part].unsqueeze(1)  # (N, 1, C)
        factors = 1.0 - one + one * points.unsqueeze(-1)  # (N, Q, C)
        others = factors.prod(-1)  # (N, Q)
        sums = (one / factors).cumsum(-1)  # (N, Q, k)
        expected = (sums * powers).mul_(others.unsqueeze(-1)).sum(1)  # (N, k)
        empty = (1.0 - p[part]).prod(-1, keepdim=True)
        sizes[part], values[part] = _smallest_best(torch.cat([empty, expected], -1))
    taken = (k - 1) < sizes.unsqueeze(-1)
    return torch.zeros_like(taken).scatter(1, order, taken), values


def threshold_sets(scores: Tensor, thr: float | Tensor) -> Tensor:
    """Labels whose score is not below the threshold.

    Args:
        scores: (N, C).
        thr: One number, or (C,), one for each label.

    Returns:
        (N, C) bool.
    """
    return scores >= thr


def best_threshold(scores: Tensor, truth: Tensor, score: str = 'O-F1') -> tuple[float, float]:
    """The one threshold that maximises a score, found among all distinct scores.

    ``'O-F1'`` counts over all classes and images; ``'C-F1'`` is the harmonic mean of the class
    means of precision and recall (0 for a class with nothing predicted, or nothing to find);
    ``'example-F1'`` is the mean of the images' F1.

    Args:
        scores: (N, C), no NaN.
        truth: (N, C) bool.
        score: What to maximise.

    Returns:
        The threshold for :func:`threshold_sets` and the value it gives, in [0, 1]. Among equals the
        highest one, infinity where it is best to predict nothing.

    Raises:
        UsageError: If shapes differ, nothing is given, a score is NaN or ``score`` is not known.
    """
    if scores.shape != truth.shape or scores.dim() != 2 or scores.numel() == 0:
        raise UsageError(
            f'scores are {tuple(scores.shape)} and truth {tuple(truth.shape)}: give both as (N, C)'
        )
    if bool(scores.isnan().any()):
        raise UsageError('a score is NaN: check the model that gave it')
    if score not in ('O-F1', 'C-F1', 'example-F1'):
        raise UsageError(f'score {score!r} is not known: choose O-F1, C-F1 or example-F1')
    groups = {'O-F1': scores.reshape(1, -1), 'C-F1': scores.T, 'example-F1': scores}[score]
    hits = {'O-F1': truth.reshape(1, -1), 'C-F1': truth.T, 'example-F1': truth}[score]
    ordered, index = groups.sort(dim=-1, descending=True, stable=True)
    right = torch.cat([hits[:, :1] & False, hits.gather(-1, index)], -1).double().cumsum(-1)
    number = torch.arange(right.shape[1], device=scores.device)  # predicted in a group so far
    real = right[:, -1:]
    # All groups in one sequence of falling scores: what each further prediction changes.
    falling, sequence = ordered.flatten().sort(descending=True, stable=True)

    def over_groups(values: Tensor) -> Tensor:
        """Mean over the groups (G, n + 1) after each prediction of the sequence."""
        changes = values.diff(dim=-1).flatten()[sequence]
        return torch.cat([values[:, :1].sum(0), changes]).cumsum(0) / len(values)

    if score == 'C-F1':
        precision = over_groups(right / number.clamp(min=1))
        recall = over_groups(right / real.clamp(min=1))
        both = precision + recall
        values = torch.where(both > 0, 2 * precision * recall / both.clamp(min=1e-300), 0.0)
    else:
        found = number + real
        nothing = 1.0 if score == 'example-F1' else 0.0
        values = over_groups(torch.where(found > 0, 2 * right / found.clamp(min=1), nothing))
    last = torch.cat([falling.diff() != 0, falling.new_ones(1, dtype=torch.bool)])
    choices = torch.cat([falling.new_full((1,), torch.inf), falling[last]])
    best, value = _smallest_best(values[torch.cat([last.new_ones(1), last])].unsqueeze(0))
    return float(choices[best]), float(value)


def _smallest_best(values: Tensor) -> tuple[Tensor, Tensor]:
    """The first place of the largest value of each row, equal but for rounding, and the value."""
    best = (values >= values.amax(-1, keepdim=True) - 10.0**-DECIMALS).byte().argmax(-1)
    return best, values.gather(-1, best.unsqueeze(-1)).squeeze(-1)


def _parts(count: int, bytes_each: int) -> list[slice]:
    """Slices of images whose tables stay below :data:`TABLE_BYTES`, of one image at least."""
    size = max(1, TABLE_BYTES // max(bytes_each, 1))
    return [slice(first, first + size) for first in range(0, count, size)]


@lru_cache(maxsize=8)
def _quadrature(number: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre points and weights on [0, 1], (Q,) float64 each."""
    points, weights = np.polynomial.legendre.leggauss(max(number, 1))
    return torch.from_numpy((points + 1) / 2), torch.from_numpy(weights / 2)
