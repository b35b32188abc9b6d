# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The same module as a file of ``torch.export``."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import UsageError
from .onnx_file import TRACED, to_pixels
from .pixel_model import ExportModel

__all__ = ['save_torch_export']


@torch.no_grad()
def save_torch_export(module: ExportModel, photos: Sequence[Tensor], out: str | Path) -> None:
    """Write the file if it gives what the module gives, in batches of one and of many.

    Args:
        module: In evaluation mode.
        photos: Tensors (3, H, W) uint8 of the test pipeline.
        out: The file, ending in ``.pt2``.

    Raises:
        UsageError: If the name ends otherwise, or what was exported differs.
    """
    out = Path(out)
    if out.suffix != '.pt2':
        raise UsageError(f'{out} does not end in .pt2: name the file so')
    pixels = to_pixels(photos)[:32]
    batch = torch.export.Dim('batch', min=1, max=4096)
    example = pixels.repeat(TRACED, 1, 1, 1)[:TRACED]
    program = torch.export.export(module, (example,), dynamic_shapes={'pixels': {0: batch}})
    partial = out.with_name(f'.{out.stem}.{os.getpid()}.pt2')
    try:
        torch.export.save(program, partial)
        loaded = torch.export.load(partial).module()
        for part in (pixels, pixels[:1]):
            for name, given, expected in zip(
                module.output_names, loaded(part), module(part), strict=True
            ):
                if not torch.allclose(given.double(), expected.double(), atol=1e-4, rtol=0):
                    raise UsageError(f'{name} of the exported program differs: nothing was written')
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
