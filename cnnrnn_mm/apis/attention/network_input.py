# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A photo as the network sees it, and which part of it that is.

Axis letters: H, W sides of the network's input, h, w sides of the photo.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor

from ...errors import UsageError
from ..photo_batches import PhotoPipeline
from ..photo_inputs import Photo, list_photos
from ..trained_model import TrainedModel

__all__ = ['Extent', 'NetworkInput', 'read_network_input']

Extent = tuple[float, float, float, float]
WHOLE: Extent = (0.0, 0.0, 1.0, 1.0)


class NetworkInput(NamedTuple):
    """What goes into a network.

    Attributes:
        inputs: (1, 3, H, W), on the model's device, as the data preprocessor makes it.
        sample: The image's sample.
        size: Height and width of the part of ``inputs`` that shows the image; below and to the
            right of it is padding.
        photo: (h, w, 3) uint8, RGB: what heat maps can be laid on; None where there is none.
        extent: x1, y1, x2, y2 as shares of the photo's width and height: the part of it that the
            network sees, which may be less than all.
    """

    inputs: Tensor
    sample: DataSample
    size: tuple[int, int]
    photo: np.ndarray | None
    extent: Extent


def read_network_input(
    trained: TrainedModel, photo: str | Path | bytes | np.ndarray | Image.Image | Photo | Tensor
) -> NetworkInput:
    """Read a photo through the test pipeline.

    Args:
        trained: The model.
        photo: Path, address, content, Pillow image or array (h, w, 3) uint8, RGB; or a tensor (1,
            3, H, W): an input of the network that is ready, with no photo to draw on. A Photo of
            :func:`list_photos`, too.

    Raises:
        UsageError: If it is several photos, or can not be read.
    """
    device = next(trained.model.parameters()).device
    if isinstance(photo, Tensor):
        if photo.dim() != 4 or photo.shape[:2] != (1, 3):
            raise UsageError(f'the input has shape {tuple(photo.shape)}: give (1, 3, H, W)')
        inputs = photo.detach().to(device, torch.float32)
        return NetworkInput(inputs, DataSample(), (inputs.shape[-2], inputs.shape[-1]), None, WHOLE)
    if isinstance(photo, np.ndarray) and photo.ndim == 3 and photo.shape[2] == 3:
        photo = photo[..., ::-1]  # as list_photos takes arrays
    found = list_photos(photo)
    if len(found) != 1:
        given = photo if isinstance(photo, (str, Path)) else f'the {type(photo).__name__}'
        raise UsageError(f'{given} is {len(found)} photos: give one at a time')
    pipeline = PhotoPipeline(trained.pipeline, trained.cfg.get('default_scope') or 'mmpretrain')
    item, pixels = pipeline(found[0])
    data = trained.model.data_preprocessor(default_collate([item]), False)
    size = tuple(item['inputs'].shape[-2:])
    shown = _as_rgb(pixels)
    extent = _seen_part(pipeline.transform.transforms, pixels.shape)
    if extent is None:  # it is no plain cut: show what the network sees instead
        shown, extent = _as_rgb(item['inputs'].permute(1, 2, 0).numpy()), WHOLE
    return NetworkInput(data['inputs'], data['data_samples'][0], size, shown, extent)


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    """BGR or grey pixels as (h, w, 3) uint8 in RGB order."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels = pixels[..., :3][..., ::-1] if pixels.shape[2] >= 3 else pixels[..., :1].repeat(3, 2)
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _seen_part(transforms: list[Callable], shape: tuple[int, ...]) -> Extent | None:
    """Which part of a photo (h, w, ...) transforms leave, whatever they are.

    Images whose pixels are their own coordinates go through them. None where what comes out is no
    rectangle of the photo, enlarged or reduced evenly.
    """
    y, x = np.indices(shape[:2], dtype=np.float32) + 0.5
    edges = []
    for ramp, pixels, across in ((x, shape[1], 0), (y, shape[0], 1)):
        image = np.ascontiguousarray(
            np.broadcast_to(ramp.reshape(*shape[:2], *[1] * (len(shape) - 2)), shape)
        )
        results = dict(img=image, img_shape=shape[:2], ori_shape=shape[:2])
        for one in transforms:
            if not type(one).__name__.startswith('Pack'):
                results = one(results)
        out = np.asarray(results['img'], np.float64)
        out = out[..., 0] if out.ndim == 3 else out
        edges.append(_ends(out.mean(across), out.std(across).max(), pixels))
    horizontal, vertical = edges
    if horizontal is None or vertical is None:
        return None
    return horizontal[0], vertical[0], horizontal[1], vertical[1]


def _ends(values: np.ndarray, spread: float, pixels: int) -> tuple[float, float] | None:
    """Where a row of coordinates begins and ends, as shares; None where it does not rise evenly."""
    count = len(values)
    if count == 1:
        return (0.0, 1.0) if pixels == 1 else None
    places = np.arange(count) + 0.5
    # Interpolation repeats the outermost pixels, so the slope is that of the middle.
    low, high = count // 4, max(count - count // 4, count // 4 + 2)
    if pixels == 1:
        return 0.0, 1.0
    slope, start = np.polyfit(places[low:high], values[low:high], 1)
    if slope <= 0 or spread > 1 or np.abs(start + slope * places - values).max() > 1 + slope:
        return None
    ends = np.clip([start / pixels, (start + slope * count) / pixels], 0, 1).round(4)
    return float(ends[0]), float(ends[1])
