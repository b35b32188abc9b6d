# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Regions of images, as a localisation neck gives them.

Axis letters: N images, B regions, F region feature size.
"""

import torch
from torch import Tensor

from cnnrnn_mm.models.regions import Regions


def make_regions(counts, size=6, seed=0, gated=True, padding=0.0) -> Regions:
    """Random regions of N images of which each has so many; what pads holds ``padding``."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(counts), max(counts)
    valid = torch.arange(shape[1]) < torch.tensor(counts).unsqueeze(1)
    features = torch.randn(*shape, size, generator=generator)
    boxes = torch.rand(*shape, 2, 2, generator=generator).sort(2).values.flatten(2)
    boxes[:, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    gates = -torch.rand(shape, generator=generator) if gated else torch.zeros(shape)
    gates[:, 0] = 0
    features[~valid], gates[~valid] = padding, padding
    return Regions(features, boxes, valid, gates)


def pick(regions: Regions, images=slice(None), places=slice(None)) -> Regions:
    """Some images and some of their regions, in this order."""
    found = {
        name: value[images][:, places]
        for name, value in regions._asdict().items()
        if isinstance(value, Tensor)
    }
    return regions._replace(**found)


def alone(regions: Regions, image: int) -> Regions:
    """One image without padding."""
    return pick(regions, slice(image, image + 1), slice(int(regions.valid[image].sum())))
