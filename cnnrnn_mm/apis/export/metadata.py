# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What an exported file says of itself."""

import json
from dataclasses import asdict

import mmpretrain
import torch

from ...version import __version__
from ..dataset_configs import type_name
from ..trained_model import TrainedModel
from .pixel_model import ExportModel

__all__ = ['describe_export', 'photo_size']

#: Transforms that leave the pixels as they are.
READING = ('LoadImage', 'LoadImageFromFile', 'PackInputs', 'OrderLabels')


def photo_size(pipeline: list[dict]) -> str:
    """How a test pipeline brings a photo to the network's input size.

    Returns:
        ``'resize'``: to exactly that size, bilinear, by OpenCV. ``'none'``: photos have that size.
        ``'other'``: what only the pipeline itself can do.
    """
    changes = [one for one in pipeline if type_name(one) not in READING]
    if not changes:
        return 'none'
    resize = changes[0]
    fixed = (
        len(changes) == 1
        and type_name(resize) == 'Resize'
        and not resize.get('keep_ratio', False)
        and resize.get('interpolation', 'bilinear') == 'bilinear'
        and resize.get('backend', 'cv2') == 'cv2'
        and resize.get('scale') is not None
    )
    return 'resize' if fixed else 'other'


def describe_export(
    trained: TrainedModel, module: ExportModel, size: tuple[int, int]
) -> dict[str, str]:
    """Entries of the file's ``metadata_props``.

    Args:
        trained: The model.
        module: What is in the file.
        size: H, W of the input.
    """
    preprocessor = module.preprocessor
    entries = dict(
        classes=json.dumps(trained.classes, ensure_ascii=False),
        input_height=str(size[0]),
        input_width=str(size[1]),
        photo_size=photo_size(trained.pipeline),
        checkpoint=trained.checkpoint.rpartition('/')[2],
        head=type(module.head).__name__,
        cnnrnn_mm=__version__,
        torch=torch.__version__,
        mmpretrain=mmpretrain.__version__,
        to_rgb=json.dumps(bool(preprocessor.to_rgb)),
    )
    if hasattr(preprocessor, 'mean'):  # part of the graph; for the record
        entries['mean'] = json.dumps(preprocessor.mean.flatten().tolist())
        entries['std'] = json.dumps(preprocessor.std.flatten().tolist())
    if module.search is None:
        thr = getattr(module.head, 'thr', None)
        topk = getattr(module.head, 'topk', None)
        if thr is None and topk is None:
            thr = 0.5
        return entries | {'thr': json.dumps(thr), 'topk': json.dumps(topk)}
    limits = module.head.postprocessor.constraints
    return entries | dict(
        beam_size=str(module.search.beam_size),
        max_labels=str(module.search.max_labels),
        constraints=json.dumps(asdict(limits)),
    )
