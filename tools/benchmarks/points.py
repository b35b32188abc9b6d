# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Points of the benchmark's grid, and what is recorded of each method there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

__all__ = ['Config', 'Row', 'make_configs']


@dataclass(frozen=True)
class Config:
    """One point of the grid."""

    weights: str
    num_labels: int
    beam_size: int
    batch_size: int


@dataclass
class Row:
    """What one method did on one configuration. None stands for what does not apply.

    Times are those of the whole batch: where ``images_run`` is below ``batch_size``, scaled up.
    ``gain`` is how much more probable its paths are than those of our beam search without a trie,
    mean natural log. ``images_warm`` other images were decoded before, to warm the trie.
    """

    weights: str
    num_labels: int
    beam_size: int
    batch_size: int
    method: str
    name: str
    images_run: int
    images_warm: int | None
    repeats: int
    ms: float
    ms_min: float
    ms_max: float
    images_per_second: float
    ratio_to_warm: float | None
    peak_mb: float | None
    equal_share: float
    gain: float
    proven_share: float | None
    hit_rate: float | None
    trie_nodes: int | None
    trie_mb: float | None
    backbone_share: dict[str, float]
    backbone_measured_batch: dict[str, int]


def make_configs(
    weights: Sequence[str],
    labels: Sequence[int],
    beams: Sequence[int],
    batches: Sequence[int],
    full_grid: bool,
) -> list[Config]:
    """The product of all axes, or one axis at a time around C = 81, B = 5, N = 64."""
    if full_grid:
        return [Config(*point) for point in product(weights, labels, beams, batches)]
    axes = (labels, beams, batches)
    centre = tuple(
        wanted if wanted in axis else axis[len(axis) // 2]
        for wanted, axis in zip((81, 5, 64), axes, strict=True)
    )
    points = dict.fromkeys([centre])
    for place, axis in enumerate(axes):
        points.update(
            dict.fromkeys((*centre[:place], value, *centre[place + 1 :]) for value in axis)
        )
    return [Config(one, *point) for one in weights for point in points]
