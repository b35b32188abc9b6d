# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Latency of an exported file and of its model, side by side."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from rich.table import Table
from torch import Tensor, nn

from .check import predict_photos
from .onnx_file import open_session, run_session, to_pixels

__all__ = ['measure_latency']


def measure_latency(
    model: nn.Module,
    path: str | Path,
    photos: Sequence[Tensor],
    batch_sizes: Sequence[int] = (1, 32),
    rounds: int = 15,
) -> Table:
    """Medians over rounds in which both take turns, with torch's number of threads for both.

    Args:
        model: In evaluation mode; what is timed is ``test_step``.
        path: The file.
        photos: Tensors (3, H, W) uint8; repeated where a batch needs more.
        batch_sizes: Photos at once.
        rounds: Of each.

    Returns:
        Milliseconds for a batch, to be printed.
    """
    session, threads = open_session(path), torch.get_num_threads()
    table = Table(f'ms a batch, median of {rounds}, {threads} threads', 'onnxruntime', 'PyTorch')
    for size in batch_sizes:
        batch = (list(photos) * (1 + size // len(photos)))[:size]
        pixels = to_pixels(batch)
        runs: list[Callable] = [
            lambda pixels=pixels, size=size: run_session(session, pixels, size),
            lambda batch=batch, size=size: predict_photos(model, batch, size),
        ]
        times: list[list[float]] = [[], []]
        for _ in range(rounds + 1):
            for run, found in zip(runs, times, strict=True):
                start = time.perf_counter()
                run()
                found.append(1000 * (time.perf_counter() - start))
        medians = [median(found[1:]) for found in times]  # the first one warms up
        table.add_row(f'batch of {size}', *(f'{one:.1f}' for one in medians))
    return table
