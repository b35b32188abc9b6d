# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Rows that are made of other rows, or of the training photos themselves.

Axis letters: N images, n training images, C labels, F image feature size, K neighbours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cnnrnn_mm.datasets import CachedFeatures

from .outputs import Outputs, independent_outputs

__all__ = ['ask_neighbours', 'average_models', 'choose_neighbours', 'features_of']

#: Numbers of neighbours that the training photos choose from.
NEIGHBOURS = (5, 10, 20, 50, 100)
#: Weight of the labels' frequency, counted as one neighbour.
PRIOR = 1.0


def average_models(members: Sequence[Outputs]) -> Outputs:
    """The mean of the probabilities of independent models."""
    logits = torch.stack([one.logits.double() for one in members])
    present = functional.logsigmoid(logits).logsumexp(0)
    absent = functional.logsigmoid(-logits).logsumexp(0)
    return independent_outputs(members[0].target, members[0].ignored, present - absent)


def features_of(cached: CachedFeatures, paths: Sequence[str]) -> Tensor:
    """Unit vectors (n, F) of some images, as the test pipeline sees them; maps are averaged."""
    rows = {path: row for row, path in enumerate(cached.img_paths)}
    features = cached.features[[rows[path] for path in paths]]
    features = features.mean((2, 3)) if features.dim() == 4 else features
    return functional.normalize(features, dim=1)


def choose_neighbours(features: Tensor, labels: Tensor) -> int:
    """K: which of ``NEIGHBOURS`` is best on the training photos, each without itself.

    Args:
        features: Unit vectors (n, F).
        labels: (n, C) bool.
    """
    near = _nearest((features @ features.T).fill_diagonal_(-torch.inf))
    choices = [one for one in NEIGHBOURS if one < len(labels)] or [1]
    losses = [
        functional.binary_cross_entropy(_share(labels, near[:, :one]), labels.double())
        for one in choices
    ]
    return choices[int(torch.stack(losses).argmin())]


def ask_neighbours(
    features: Tensor, labels: Tensor, asked: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Labels of the nearest training photo, and probabilities from the K nearest.

    Photos are compared by the cosine of their features; of equally near ones the first is taken.
    The probability of a label is its share among the K nearest and one more, which has the
    frequencies of the training split.

    Args:
        features: Unit vectors (n, F) of the training photos.
        labels: Their labels (n, C) bool.
        asked: Unit vectors (N, F).
        count: K.

    Returns:
        Logits of the probabilities (N, C), and the labels of the nearest one (N, C) bool.
    """
    near = _nearest(asked @ features.T)
    return _share(labels, near[:, :count]).logit(), labels[near[:, 0]]


def _nearest(cosines: Tensor) -> Tensor:
    return cosines.sort(dim=1, descending=True, stable=True).indices


def _share(labels: Tensor, near: Tensor) -> Tensor:
    """Probabilities (N, C) from the labels (n, C) of the neighbours (N, K)."""
    marks = labels.double()
    frequency = (marks.sum(0) + PRIOR / 2) / (len(marks) + PRIOR)  # never 0 nor 1
    found = torch.stack([marks[row].sum(0) for row in near])
    return (found + PRIOR * frequency) / (near.shape[1] + PRIOR)
