# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Epochs of teacher forcing on features, with either way of running the recurrent layer.

Axis letters: F image feature size, N images of a batch.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from training_data import TrainingData

from cnnrnn_mm.models import CNNRNNHead

__all__ = [
    'Tokens',
    'count_tokens',
    'largest_differences',
    'make_heads',
    'run_epoch',
    'split_times',
]

#: No time depends on it, and so small it keeps the weights where they are.
LEARNING_RATE = 1e-6
MAX_GRADIENT = 5.0

Clock = Callable[[], float]  # seconds


def make_heads(
    data: TrainingData, embed_dims: int, hidden_dims: int, recurrent: str, dropout: float, seed: int
) -> dict[str, CNNRNNHead]:
    """Two heads with equal weights: ``'plain'``, and ``'shared'`` with shared prefixes."""
    torch.manual_seed(seed)
    plain = CNNRNNHead(
        data.num_labels,
        data.features.shape[1],
        embed_dims=embed_dims,
        hidden_dims=hidden_dims,
        recurrent=recurrent,
        dropout=dropout,
        share_prefixes=False,
    ).train()
    shared = copy.deepcopy(plain)
    shared.share_prefixes = True
    return {'plain': plain, 'shared': shared}


def make_optimizer(head: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of this project's configs."""
    return torch.optim.RMSprop(head.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)


def batches(data: TrainingData, batch_size: int, seed: int) -> Iterator[tuple[Tensor, list]]:
    """One epoch in random order: features (N, F) and N samples a batch, the last one smaller."""
    order = torch.randperm(len(data.samples), generator=torch.Generator().manual_seed(seed))
    for index in order.split(batch_size):
        yield data.features[index], [data.samples[one] for one in index.tolist()]


def run_epoch(
    head: CNNRNNHead,
    optimizer: torch.optim.Optimizer,
    data: TrainingData,
    batch_size: int,
    seed: int,
) -> None:
    """Forward, loss, backward, clipping and optimiser step over all images."""
    for features, samples in batches(data, batch_size, seed):
        loss = head.loss((features,), samples)['loss']
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), MAX_GRADIENT)
        optimizer.step()


class _Mark(torch.autograd.Function):
    """The identity; notes when values pass forward and gradients backward."""

    @staticmethod
    def forward(ctx, value: Tensor, times: list[float], clock: Clock) -> Tensor:
        ctx.times, ctx.clock = times, clock
        times.append(clock())
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.times.append(ctx.clock())
        return gradient, None, None


def split_times(
    head: CNNRNNHead,
    data: TrainingData,
    batch_size: int,
    seed: int,
    clock: Clock = time.perf_counter,
) -> tuple[float, float]:
    """Seconds of an epoch inside and outside the recurrent layer, forward and backward (CPU only).

    Inside is all between the embedded labels and the output projection's input: also the gathering
    of parents' states, but not the search for equal prefixes.
    """
    decoder, entry, exit_ = head.decoder, [], []
    hooks = [
        decoder.embedding.register_forward_hook(lambda _, __, out: _Mark.apply(out, entry, clock)),
        decoder.output_projection.register_forward_pre_hook(
            lambda _, inputs: (_Mark.apply(inputs[0], exit_, clock),)
        ),
    ]
    begin = clock()
    try:
        run_epoch(head, make_optimizer(head), data, batch_size, seed)
    finally:
        total = clock() - begin
        for hook in hooks:
            hook.remove()
    # Each batch leaves two times at both: forward and backward.
    inside = sum(abs(out - into) for into, out in zip(entry, exit_, strict=True))
    return inside, total - inside


@dataclass(frozen=True)
class Tokens:
    """Recurrent steps of an epoch: with padding, without, and one for each distinct prefix."""

    padded: int
    valid: int
    prefixes: int


def count_tokens(data: TrainingData, batch_size: int, seed: int) -> Tokens:
    """Count over the batches of one epoch; START is a step of every image."""
    padded = valid = prefixes = 0
    for _, samples in batches(data, batch_size, seed):
        lists = [sample.gt_label.tolist() for sample in samples]
        padded += len(lists) * (1 + max(map(len, lists)))
        valid += sum(1 + len(one) for one in lists)
        prefixes += len({tuple(one[:end]) for one in lists for end in range(1 + len(one))})
    return Tokens(padded, valid, prefixes)


def largest_differences(
    heads: Sequence[CNNRNNHead], data: TrainingData, batch_size: int, seed: int
) -> dict[str, float]:
    """How far loss and gradients of two heads without dropout are apart on the first batch.

    A gradient's difference is the largest over its elements, relative to the largest element of the
    same gradient; reported is that of the worst parameter. Gradients of the image features count.
    """
    features, samples = next(batches(data, batch_size, seed))
    losses, gradients = [], []
    for head in heads:
        inputs = features.clone().requires_grad_()
        loss = head.loss((inputs,), samples)['loss']
        loss.backward()
        losses.append(loss.item())
        named = {name: weight.grad for name, weight in head.named_parameters()}
        gradients.append({**named, 'features': inputs.grad})
        head.zero_grad()
    first, second = gradients
    apart = {name: (first[name] - second[name]).abs().max().item() for name in first}
    scale = {name: first[name].abs().max().item() for name in first}
    return {
        'loss_absolute': abs(losses[0] - losses[1]),
        'loss_relative': abs(losses[0] - losses[1]) / abs(losses[0]),
        'gradient_absolute': max(apart.values()),
        'gradient_relative': max(apart[name] / max(scale[name], 1e-30) for name in apart),
    }
