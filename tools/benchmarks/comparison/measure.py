# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Figures that a comparison has beside those that all have. Axis letters: N images, b resamples."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .outputs import Outputs

__all__ = ['Measure']


@dataclass(frozen=True)
class Measure:
    """A further table, and the same figures for resamples of the images.

    Attributes:
        title: What it is of.
        columns: Names of the figures.
        statistic: ``statistic(outputs, threshold)(weights (N, b))``: each figure (b,), NaN where
            no image counts; the threshold is that for O-F1.
        notes: What is said below the table.
    """

    title: str
    columns: tuple[str, ...]
    statistic: Callable[[Outputs, float], Callable[[Tensor], dict[str, Tensor]]]
    notes: list[str] = field(default_factory=list)

    def figures(self, outputs: Outputs, threshold: float) -> dict[str, float | None]:
        """Of all images; None where none counts."""
        found = self.statistic(outputs, threshold)(torch.ones(len(outputs.target), 1))
        values = {name: float(value) for name, value in found.items()}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}
