# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Image features with label lists for the search benchmark: read from caches, or generated.

Axis letters: n images, F image feature size, C labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cnnrnn_mm.datasets import load_features
from cnnrnn_mm.errors import UsageError

__all__ = ['LabelData', 'generate_data', 'read_data', 'source_of']

NUM_TRAIN = 4000
NUM_HELD_OUT = 500
NUM_FEATURES = 256


@dataclass(frozen=True)
class LabelData:
    """Labels are 0..C-1 by falling frequency; each list is in that order.

    Attributes:
        features: (n, F), for training.
        labels: n label lists; an image may have none.
        held_out_features: (m, F), for decoding.
        held_out_labels: m label lists.
        num_labels: C.
        source: Where it comes from, in words.
    """

    features: Tensor
    labels: list[list[int]]
    held_out_features: Tensor
    held_out_labels: list[list[int]]
    num_labels: int
    source: str


def read_data(train: str, held_out: str, num_labels: int) -> LabelData:
    """Read two caches of features and keep the ``num_labels`` most frequent training labels.

    They are folders of ``tools/extract_features.py``, one of a training split. Images that lose all
    their labels stay, as empty sets.

    Raises:
        UsageError: If a folder is missing or no such cache, or has fewer than ``num_labels``
            labels.
    """
    splits = [load_features(path) for path in (train, held_out)]
    counts = Counter(label for one in splits[0].labels for label in one)
    if len(counts) < num_labels:
        raise UsageError(
            f'{train} has {len(counts)} different labels: leave out --labels {num_labels}'
        )
    frequent = sorted(counts, key=lambda label: (-counts[label], label))[:num_labels]
    rank = {label: position for position, label in enumerate(frequent)}
    lists = [
        [sorted(rank[label] for label in set(one) if label in rank) for one in split.labels]
        for split in splits
    ]
    return LabelData(
        splits[0].features,
        lists[0],
        splits[1].features,
        lists[1],
        num_labels,
        f'{source_of(train)}, {source_of(held_out)}',
    )


def source_of(folder: str) -> str:
    """What to call a cache in results: its two last folders."""
    return '/'.join(Path(folder).parts[-2:])


def generate_data(
    num_labels: int, seed: int = 0, num_train: int = NUM_TRAIN, num_held_out: int = NUM_HELD_OUT
) -> LabelData:
    """Draw label sets that hang together, and features that show them through noise.

    Frequencies have a long tail. An image has one or two topics, which make some labels likely and
    others rare, and about 3 labels. Its feature is the sum of its labels' and topics' prototypes,
    and noise.
    """
    draw = np.random.default_rng(seed)
    num_images, num_topics = num_train + num_held_out, max(4, round(2 * num_labels**0.5))
    frequency = (np.arange(num_labels) + 3.0) ** -0.9  # (C,)
    log_taste = np.log(frequency) + 3.0 * draw.standard_normal((num_topics, num_labels))
    topic_share = (np.arange(num_topics) + 1.0) ** -0.7
    topics = np.zeros((num_images, num_topics))
    for count in (1, 2):
        row = slice(None) if count == 1 else draw.random(num_images) < 0.3
        chosen = draw.choice(num_topics, len(topics[row]), p=topic_share / topic_share.sum())
        topics[row] += np.eye(num_topics)[chosen]
    topics /= topics.sum(1, keepdims=True)
    # The n labels with the largest perturbed scores are n draws without replacement.
    perturbed = topics @ log_taste + draw.gumbel(size=(num_images, num_labels))
    sizes = np.minimum(draw.poisson(3.0, num_images), num_labels)
    order = np.argsort(-perturbed, 1)
    truth = np.zeros((num_images, num_labels), dtype=bool)
    for image, size in enumerate(sizes):
        truth[image, order[image, :size]] = True
    truth = truth[:, np.argsort(-truth.sum(0), kind='stable')]
    features = (
        truth @ draw.standard_normal((num_labels, NUM_FEATURES))
        + topics @ draw.standard_normal((num_topics, NUM_FEATURES))
        + 2.0 * draw.standard_normal((num_images, NUM_FEATURES))
    )
    lists: Sequence[list[int]] = [np.flatnonzero(one).tolist() for one in truth]
    features = torch.from_numpy(features).float()
    return LabelData(
        features[:num_train],
        list(lists[:num_train]),
        features[num_train:],
        list(lists[num_train:]),
        num_labels,
        'generated label sets',
    )
