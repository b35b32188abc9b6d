# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Bootstrap over images: intervals of scores that depend on how often each image counts.

N images are drawn with replacement from the N images of a split, B times. A resample is kept as
its counts: how often each image was drawn, a column of a matrix ``weights`` (N, B) whose columns
sum to N. A *statistic* maps such a matrix to ``{name: Tensor (B,)}``; a column of ones gives the
score itself.

The intervals are percentile intervals (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 13), moved so that the mean of the resamples falls on the score. For means over
images the move is nearly nothing. Scores of rare classes need it: a resample lacks some of their
few images and doubles others, which shifts such scores as no fresh set of images would, and the
interval would not even hold the score. docs/metrics.md has figures.

Axis letters: N images, B resamples, M entries of a list of images, S segments of such a list.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from cnnrnn_mm.errors import UsageError

__all__ = [
    'Statistic',
    'bootstrap_scores',
    'canonical_order',
    'centred_intervals',
    'check_bootstrap',
    'draw_weights',
    'sum_weights',
]

Statistic = Callable[[Tensor], Mapping[str, Tensor]]

#: Most entries of a matrix of weights. What is made from larger ones leaves the processor's caches.
MAX_ENTRIES = 2**20
#: Float32 holds every whole number up to this one, so sums of counts are exact below it.
EXACT_IN_FLOAT32 = 2**24


def check_bootstrap(bootstrap: int, confidence: float) -> None:
    """Refuse options that make no interval.

    Args:
        bootstrap: Number of resamples; 0 for none.
        confidence: Share of them inside the interval.

    Raises:
        UsageError: If ``bootstrap`` is negative or ``confidence`` is no share between 0 and 1.
    """
    if bootstrap < 0 or bootstrap != int(bootstrap):
        raise UsageError(f'bootstrap is {bootstrap}: use a number of resamples, or 0 for none')
    if not 0 < confidence < 1:
        raise UsageError(f'confidence is {confidence}: use a share such as 0.95, not a percentage')


def draw_weights(num_images: int, num_resamples: int, seed: int, width: int) -> Iterator[Tensor]:
    """Draw resamples; the draws depend on N, the seed and nothing else, not on ``width`` either.

    Args:
        num_images: N.
        num_resamples: B.
        seed: Seed of a generator of its own; torch's global one is left alone.
        width: Most resamples in one matrix.

    Yields:
        Matrices (N, b), b <= width, of whole numbers in float32 (float64 from 2**24 images on);
        together B columns.
    """
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.float32 if num_images < EXACT_IN_FLOAT32 else torch.float64
    for first in range(0, num_resamples, width):
        counts = [
            torch.randint(num_images, (num_images,), generator=generator).bincount(
                minlength=num_images
            )
            for _ in range(min(width, num_resamples - first))
        ]
        yield torch.stack(counts, dim=1).to(dtype)


def bootstrap_scores(
    statistic: Statistic, num_images: int, num_resamples: int, seed: int = 0
) -> dict[str, Tensor]:
    """The scores of B resamples.

    Args:
        statistic: Maps weights (N, b) to scores, each (b,).
        num_images: N.
        num_resamples: B.
        seed: Of the draws.

    Returns:
        For each score float64 (B,).
    """
    width = min(max(MAX_ENTRIES // num_images, 1), num_resamples)
    parts = [statistic(one) for one in draw_weights(num_images, num_resamples, seed, width)]
    return {name: torch.cat([part[name].double() for part in parts]) for name in parts[0]}


def centred_intervals(
    resampled: Mapping[str, Tensor], scores: Mapping[str, Tensor], confidence: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the resamples' deviations from their mean, around the scores.

    Args:
        resampled: For each name the scores of B resamples, float64 (B,).
        scores: For each name the score itself, one number.
        confidence: Share of the resamples inside an interval, as much being left out below as
            above.

    Returns:
        For each name the lower and the upper end.
    """
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    intervals = {}
    for name, values in resampled.items():
        move = float(scores[name]) - values.mean().item()
        intervals[name] = tuple((np.quantile(values.numpy(), tails) + move).tolist())
    return intervals


def sum_weights(images: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Sum the weights of each segment of a list of images.

    Args:
        images: Ids of images in [0, N), (M,) int32 or int64.
        starts: Where each segment starts in ``images``, and then M, (S + 1,) in the same dtype.
        weights: Whole numbers (N, b), float32 or float64.

    Returns:
        float64 (S, b), exact.
    """
    sums = F.embedding_bag(images, weights, starts, mode='sum', include_last_offset=True)
    return sums.double()


def canonical_order(*columns: Tensor) -> Tensor:
    """Order images by their content, so that draws do not depend on the order they came in.

    Args:
        columns: What is known of each image, (N, ...) each.

    Returns:
        LongTensor (N,); images of the same content keep their order, which changes no score.
    """
    parts = [one.contiguous().reshape(len(one), -1).view(torch.uint8) for one in columns]
    content = torch.cat(parts, dim=1).numpy()
    rows = content.view(np.dtype((np.void, content.shape[1]))).ravel()
    return torch.from_numpy(np.argsort(rows, kind='stable'))
