# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a model looks at before each label.

Axis letters: T steps, C labels, H, W sides of the network's input, h, w sides of the photo.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import UsageError
from ...visualization.attention_sheet import lay_over
from ..photo_inputs import Photo
from ..trained_model import TrainedModel
from .deconvolution import deconvolution
from .grad_cam import grad_cam
from .network_input import Extent, read_network_input
from .request import check_request
from .step_score import DEFAULT_SCORE, ROWS, StepScore
from .steps import Steps
from .target_layers import find_layer

__all__ = ['StepAttention', 'step_attention']

#: Hooks on one model by two threads at once would see each other's signals.
LOCK = threading.Lock()


@dataclass(frozen=True)
class StepAttention:
    """Heat maps of the steps of a path.

    Attributes:
        maps: (T, H, W) float32 on the CPU, in [0, 1], each step's own maximum being 1; all 0 where
            nothing speaks for the step's score.
        peaks: (T,) the maxima before that, to compare steps by.
        labels: (T,) class ids; C is END.
        names: (T,) the labels' names; that of END is 'END'.
        probs: (T,) P(label given those before and the image); of heads without paths, the score.
        path: Class ids of the whole path, without END.
        method: One of :data:`METHODS`.
        layer: Name of the layer whose map was weighed or sent back.
        photo: (h, w, 3) uint8, RGB; None where a network's input was given.
        extent: x1, y1, x2, y2 as shares of the photo's width and height: what the maps cover.
    """

    maps: Tensor
    peaks: Tensor
    labels: list[int]
    names: list[str]
    probs: list[float]
    path: list[int]
    method: str
    layer: str
    photo: np.ndarray | None
    extent: Extent

    def draw(self) -> list[np.ndarray]:
        """The photo with the heat map of each step over it: T arrays (h, w, 3) uint8, RGB."""
        if self.photo is None:
            raise UsageError('a network input is no photo to draw on: give a photo')
        return [lay_over(self.photo, one.numpy(), self.extent) for one in self.maps]


def step_attention(
    trained: TrainedModel,
    photo: str | Path | bytes | np.ndarray | Image.Image | Photo | Tensor,
    path: Sequence[int | str] | None = None,
    method: str = 'grad_cam',
    label: int | str | None = None,
    layer: str | None = None,
    score: str = DEFAULT_SCORE,
    end: bool = False,
) -> StepAttention:
    """What speaks for each label of a path, at the step before it.

    Each step is asked under teacher forcing: the labels before it are the path's. What the score of
    a step is made of is explained, not whether the label is right.

    Args:
        trained: The model, of :func:`load_trained_model`.
        photo: Path, address, content, Pillow image or array (h, w, 3) uint8, RGB, which goes
            through the test pipeline; or a tensor (1, 3, H, W): an input of the network that is
            ready.
        path: Class ids or names in path order; None for what the model predicts.
        method: ``'grad_cam'`` or ``'deconvolution'``.
        label: Class id or name: only the step of this label. One that is not in the path is asked
            for at the step that gives it the highest probability.
        layer: Name of the layer whose map Grad-CAM weighs and deconvolution starts from; None for
            the default, see :func:`find_layer`.
        score: What is explained, one of :data:`SCORES`.
        end: Also the step at which END is chosen.

    Raises:
        UsageError: If a label, method, layer or score is not known, the photo can not be read, or
            the model's head or activations do not allow it.
    """
    known, wanted = check_request(trained, path, method, label, layer, score, end)
    model = trained.model
    given = read_network_input(trained, photo)
    with LOCK:
        asked = Steps.of(model, given, known, wanted, end)
    explained = StepScore(model, asked.targets, asked.places, asked.path, score, given.sample)
    explain = grad_cam if method == 'grad_cam' else deconvolution
    with LOCK:
        name, module = find_layer(model, given.inputs, layer)
        maps = [torch.zeros(0, *given.inputs.shape[-2:])]
        for rows in torch.arange(len(asked.targets)).split(ROWS):
            inputs = given.inputs.expand(len(rows), -1, -1, -1).clone()
            maps.append(explain(explained, inputs, rows.to(inputs.device), module).cpu())
    maps = torch.cat(maps)[:, : given.size[0], : given.size[1]]
    maps = torch.where(maps.isfinite(), maps, 0.0)  # a step that is certain whatever is seen
    peaks = maps.flatten(1).amax(1) if len(maps) else maps.new_zeros(0)
    scaled = maps / peaks.clamp(min=torch.finfo(torch.float32).tiny)[:, None, None]
    names = [*trained.classes, 'END']
    return StepAttention(
        scaled.clamp(0, 1),
        peaks,
        asked.targets,
        [names[one] for one in asked.targets],
        asked.probs,
        asked.path,
        method,
        name,
        given.photo,
        given.extent,
    )
