# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""CNN-RNN heads with weights worth searching, trained in a short loop on features.

Axis letters: n images, F image feature size, C labels.
"""

import math
from dataclasses import dataclass

import torch
from label_data import LabelData, generate_data, read_data
from mmpretrain.structures import DataSample
from torch import Tensor

from cnnrnn_mm.models import CNNRNNHead

__all__ = ['ReadyHead', 'random_head', 'train_head']

BATCH_SIZE = 64
LEARNING_RATE = 3e-3
DROPOUT = 0.1
WARM_UP = 50  # steps
MAX_GRADIENT = 5.0


@dataclass(frozen=True)
class ReadyHead:
    """A head in evaluation mode, and what to decode with it.

    Attributes:
        head: The head.
        features: (m, F), of images that it was not trained on.
        labels: Their label lists.
        source: Where the data comes from, in words.
        loss: Mean training loss of the last epoch; NaN without training.
    """

    head: CNNRNNHead
    features: Tensor
    labels: list[list[int]]
    source: str
    loss: float = math.nan


def random_head(
    num_labels: int,
    embed_dims: int,
    hidden_dims: int,
    recurrent: str,
    features: tuple[str, str] | None = None,
    seed: int = 0,
) -> ReadyHead:
    """The head as it is before training, on the same held-out features as :func:`train_head`."""
    data = _load(num_labels, features, seed)
    head = _build(data, embed_dims, hidden_dims, recurrent, seed).eval()
    return ReadyHead(head, data.held_out_features, data.held_out_labels, data.source)


def train_head(
    num_labels: int,
    embed_dims: int,
    hidden_dims: int,
    recurrent: str,
    features: tuple[str, str] | None = None,
    seed: int = 0,
    epochs: int = 8,
) -> ReadyHead:
    """Train a head on C labels.

    Args:
        num_labels: C.
        embed_dims: D of the head.
        hidden_dims: H of the head.
        recurrent: Name of the recurrent layer.
        features: Two caches, see ``read_data``, of which the C most frequent labels are used; None
            for generated data.
        seed: Seed of data, weights and batches.
        epochs: Passes over the training images.

    Returns:
        The head and the held-out images.
    """
    data = _load(num_labels, features, seed)
    head = _build(data, embed_dims, hidden_dims, recurrent, seed).train()
    samples = [DataSample().set_gt_label(torch.tensor(one).long()) for one in data.labels]
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    steps = epochs * math.ceil(len(samples) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
        ),
    )
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(epochs):
        losses = []
        for index in torch.randperm(len(samples), generator=generator).split(BATCH_SIZE):
            batch = [samples[one] for one in index.tolist()]
            loss = head.loss((data.features[index],), batch)['loss']
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), MAX_GRADIENT)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    loss = sum(losses) / max(1, len(losses))
    return ReadyHead(head.eval(), data.held_out_features, data.held_out_labels, data.source, loss)


def _load(num_labels: int, features: tuple[str, str] | None, seed: int) -> LabelData:
    if features is None:
        return generate_data(num_labels, seed)
    return read_data(*features, num_labels)


def _build(
    data: LabelData, embed_dims: int, hidden_dims: int, recurrent: str, seed: int
) -> CNNRNNHead:
    torch.manual_seed(seed)
    return CNNRNNHead(
        num_classes=data.num_labels,
        in_channels=data.features.shape[1],
        embed_dims=embed_dims,
        hidden_dims=hidden_dims,
        recurrent=recurrent,
        dropout=DROPOUT,
    )
