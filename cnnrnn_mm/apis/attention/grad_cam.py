# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Grad-CAM of the score of a step.

Axis letters: R rows (one a step), H, W sides of the input, h, w sides of the layer's map.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from .step_score import StepScore
from .target_layers import tapped

__all__ = ['grad_cam', 'import_captum']


def import_captum() -> Any:
    """captum.attr.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        raise UsageError(
            "heat maps need captum, which is not installed: pip install '.[explain]'"
        ) from None
    return captum.attr


def grad_cam(score: StepScore, inputs: Tensor, steps: Tensor, layer: nn.Module) -> Tensor:
    """Selvaraju et al., "Grad-CAM", ICCV 2017, equations (1) and (2).

    The layer's channels, weighted by the mean of the score's gradient over the positions; what
    speaks against the score is cut off at 0. Through captum's ``LayerGradCam``.

    Args:
        score: The score.
        inputs: (R, 3, H, W).
        steps: (R,) int64, which step each row is asked for.
        layer: One of the backbone's.

    Returns:
        (R, H, W), at least 0, enlarged bilinearly from (h, w).
    """
    attr = import_captum()
    size = (inputs.shape[-2], inputs.shape[-1])
    with tapped(score.model, layer, size) as tap:
        maps = attr.LayerGradCam(score, tap).attribute(
            inputs, additional_forward_args=(steps,), relu_attributions=True
        )  # (R, 1, h, w)
    maps = functional.interpolate(maps.detach(), size, mode='bilinear', align_corners=False)
    return torch.clamp(maps[:, 0], min=0)
