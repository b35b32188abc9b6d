# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Forward time of the backbones in front of the search, to compare it with."""

from dataclasses import dataclass

import torch
from measuring import time_call
from mmpretrain.registry import MODELS

__all__ = ['BACKBONES', 'ForwardTime', 'forward_times']

BACKBONES = {
    'VGG-16': dict(type='mmpretrain.VGG', depth=16),
    'MobileNetV2': dict(type='mmpretrain.MobileNetV2'),
}
IMAGE_SIZE = 224
#: A larger batch is extrapolated from a smaller one once a forward would take this long.
MAX_SECONDS = 4.0


@dataclass(frozen=True)
class ForwardTime:
    """Median seconds of a forward, and the batch that it was measured on.

    ``measured_batch`` below the batch asked for means that ``seconds`` is extrapolated.
    """

    seconds: float
    measured_batch: int


def forward_times(
    batches: list[int], device: torch.device, repeats: int = 3
) -> dict[str, dict[int, ForwardTime]]:
    """Time each backbone at each batch size: random weights, evaluation mode, channels last."""
    return {
        name: _times(MODELS.build(cfg), sorted(set(batches)), device, repeats)
        for name, cfg in BACKBONES.items()
    }


@torch.inference_mode()
def _times(
    backbone: torch.nn.Module, batches: list[int], device: torch.device, repeats: int
) -> dict[int, ForwardTime]:
    backbone = backbone.to(device, memory_format=torch.channels_last)
    backbone.eval()  # some of the host's return nothing
    times, a_image = {}, None
    for batch in batches:
        measured = batch
        if a_image is not None:
            measured = max(min(batch, int(MAX_SECONDS / a_image)), min(batch, 1))
        elif batch > 1:  # nothing is known yet
            a_image = _median(backbone, 1, device, 1)
            measured = max(min(batch, int(MAX_SECONDS / a_image)), 1)
        seconds = _median(backbone, measured, device, repeats)
        a_image = seconds / measured
        times[batch] = ForwardTime(a_image * batch, measured)
    return times


def _median(backbone: torch.nn.Module, batch: int, device: torch.device, repeats: int) -> float:
    images = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    backbone(images)
    seconds = sorted(time_call(lambda: backbone(images), device)[0] for _ in range(repeats))
    return seconds[len(seconds) // 2]
