# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search behind a backbone: its time, and how often the host waits for the device.

Axis letters: N images of a batch, C labels, F channels.
"""

import warnings
from functools import partial
from statistics import median

import torch
from measuring import Case, time_side_by_side
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from whole_step import BACKBONES

__all__ = ['count_waits', 'measure_search']

#: Beginning of the warning of ``torch.cuda.set_sync_debug_mode('warn')``.
WAIT = 'called a synchronizing CUDA operation'


@torch.inference_mode()
def measure_search(
    name: str,
    image_size: int,
    batch_size: int,
    num_labels: int,
    repeats: int,
    device: torch.device,
    seed: int = 0,
    backbones: dict = BACKBONES,
) -> dict:
    """Time the backbone's forward and the head's ``predict`` on the same batch, in turn.

    Weights are random, and paths are made four labels long (``min_length`` and ``max_length``): an
    untrained model would go on for tens.

    Returns:
        Milliseconds of both, the search's share of the backbone's time, and how often a ``predict``
        makes the host wait (None off CUDA).
    """
    torch.manual_seed(seed)
    cfg, channels = backbones[name]
    head_cfg = dict(
        type='cnnrnn_mm.CNNRNNHead',
        num_classes=num_labels,
        in_channels=channels,
        embed_dims=512,
        hidden_dims=512,
        postprocessor=dict(beam_size=5, constraints=dict(min_length=4, max_length=4)),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(cfg).to(device)
        head = MODELS.build(head_cfg).to(device)
    backbone.eval()
    head.eval()
    images = torch.rand(batch_size, 3, image_size, image_size, device=device)
    forward = partial(backbone, images)
    feats = forward()
    search = partial(head.predict, feats)
    search()
    waits = count_waits(search) if device.type == 'cuda' else None
    cases = [Case(forward, scale=1e3, repeats=repeats), Case(search, scale=1e3, repeats=repeats)]
    time_side_by_side(cases, device)
    shares = [b / a for a, b in zip(cases[0].seconds, cases[1].seconds, strict=True)]
    return dict(
        backbone=name,
        image_size=image_size,
        batch_size=batch_size,
        backbone_ms=median(cases[0].seconds),
        search_ms=median(cases[1].seconds),
        share=median(shares),
        waits=waits,
    )


def count_waits(call) -> int:
    """How often a call makes the host wait for CUDA."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            call()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum(WAIT in str(one.message) for one in caught)
