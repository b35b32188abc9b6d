# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Features and ordered label lists for the training benchmark.

Axis letters: n images, F image feature size, C labels.
"""

from collections import Counter
from dataclasses import dataclass

import torch
from label_data import generate_data, source_of
from mmpretrain.structures import DataSample
from torch import Tensor

from cnnrnn_mm.datasets import OrderLabels, load_features

__all__ = ['TrainingData', 'load_data']


@dataclass(frozen=True)
class TrainingData:
    """Features (n, F), n samples whose labels are in the order to be learned, C, and the source."""

    features: Tensor
    samples: list[DataSample]
    num_labels: int
    source: str


def load_data(
    path: str | None, num_labels: int, order: str, seed: int, most: int | None = None
) -> TrainingData:
    """Read a cache of ``tools/extract_features.py``, or generate label sets and noisy features.

    Labels are put in order by the whole cache; only its first ``most`` images are kept.
    """
    if path is None:
        data = generate_data(num_labels, seed)
        features, labels, source = data.features, data.labels, data.source
    else:
        cached = load_features(path)
        features, labels, source = cached.features, cached.labels, source_of(path)
        num_labels = len(cached.classes or ()) or 1 + max(max(one, default=0) for one in labels)
    counts = Counter(label for one in labels for label in one)
    arrange = OrderLabels(order)
    arrange.fit([counts[label] for label in range(num_labels)])
    samples = [
        DataSample().set_gt_label(torch.from_numpy(arrange({'gt_label': one})['gt_label']))
        for one in labels[:most]
    ]
    return TrainingData(features[:most], samples, num_labels, source)
