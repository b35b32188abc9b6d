# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What drawing label paths gives.

Axis letters: N images, S samples of each, C labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ['PathSamples']

#: Log weights above minus this count as 0: all allowed, but for rounding.
ALL_ALLOWED = 1e-4


@dataclass(frozen=True)
class PathSamples:
    """Weighted samples of N images: averages under their weights estimate expectations.

    Expectations are under the model's distribution of paths that never name a label twice,
    conditional on the constraints. The samples of an image are drawn together so as to spread
    evenly, so they are not independent of each other, and their sequence means nothing.

    Attributes:
        sets: (N, S, C) bool, the labels of each path, a given prefix included.
        log_weights: (N, S) float64, natural log of the importance weights; -inf for a sample that
            ran into a dead end. Not above 0 where the model's steps sum to 1.
        expected: (N, C) float64, the mean over samples of the sum of p(label given prefix) over the
            prefixes that the sample went through; 1 for a given prefix.
    """

    sets: Tensor
    log_weights: Tensor
    expected: Tensor

    @property
    def weights(self) -> Tensor:
        """(N, S) float64, normalised: each row sums to 1."""
        return self.log_weights.softmax(-1)

    @property
    def effective_sizes(self) -> Tensor:
        """(N,) in [1, S], 1 / sum of squared weights: as many samples of equal weight (Kong)."""
        return 1.0 / self.weights.square().sum(-1)

    @property
    def log_evidence(self) -> Tensor:
        """(N,), natural log of the mean weight.

        The mean weight estimates, without bias, the probability that a path drawn from the model
        names no label twice and meets the constraints, given the prefix.
        """
        return self.log_weights.logsumexp(-1) - torch.tensor(float(self.sets.shape[1])).log()

    @property
    def unweighted(self) -> Tensor:
        """(N,) bool: the constraints left nothing out on any sample's way, all weights are 1."""
        return (self.log_weights > -ALL_ALLOWED).all(-1)

    def marginals(self, from_prefixes: bool | None = None) -> Tensor:
        """Estimate P(label in the path), conditional on the constraints.

        Either the weighted share of the samples that hold a label, or ``expected``, clamped to 1. A
        path names a label for the first time after exactly one prefix, and each prefix is visited
        with its own probability, so ``expected`` has no bias where all weights are 1. It gives rare
        labels a value other than 0, but scatters more where a label is all but certain.

        Args:
            from_prefixes: Take ``expected``. None takes it where it is valid, i.e. for images in
                ``unweighted``, for labels that less than half of the samples hold.

        Returns:
            (N, C) float64 in [0, 1].
        """
        # One matrix product an image: no float copy of all sets at once.
        pairs = zip(self.weights, self.sets, strict=True)
        shares = [weights @ sets.to(weights.dtype) for weights, sets in pairs]
        shares = torch.stack(shares) if shares else self.expected.clone()
        if from_prefixes is None:
            take = self.unweighted.unsqueeze(-1) & (shares < 0.5)
        else:
            take = torch.full_like(shares, from_prefixes, dtype=torch.bool)
        return torch.where(take, self.expected, shares).clamp(0.0, 1.0)
