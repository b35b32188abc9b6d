# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which labels are asked for, and how probable they are.

Axis letters: T steps, V = C + 1 (labels and END).
"""

from dataclasses import dataclass

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor

from ...models.heads import CNNRNNHead
from .network_input import NetworkInput
from .step_score import ROWS, StepScore, extract

__all__ = ['Steps']


@dataclass(frozen=True)
class Steps:
    """The steps of a path that are asked for.

    Attributes:
        path: Class ids of the whole path, without END.
        targets: (T,) class ids, C for END.
        places: (T,) numbers of labels of the path that stand before each.
        probs: (T,) P(target given those and the image); of heads without paths, the label's score.
    """

    path: list[int]
    targets: list[int]
    places: list[int]
    probs: list[float]

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: BaseModel,
        given: NetworkInput,
        path: list[int] | None,
        label: int | None,
        end: bool,
    ) -> 'Steps':
        """Find them.

        Args:
            model: A classifier of the host.
            given: The image.
            path: Class ids; None for what the model predicts.
            label: Only the step of this class id; where the path lacks it, the step that gives it
                the highest probability.
            end: Also the step at which END is chosen; for heads with paths.
        """
        has_paths = isinstance(model.head, CNNRNNHead)
        if path is None or not has_paths:
            sample = _predict(model, given)
            if path is None:
                # where the model decides otherwise, pred_label is no path
                path = list(sample.get('pred_paths', [sample.pred_label.tolist()])[0])
            if not has_paths:
                targets = path if label is None else [label]
                scores = [float(sample.pred_score[one]) for one in targets]
                return cls(path, targets, [0] * len(targets), scores)
        closed = [*path, model.head.vocabulary.end]
        probs = _step_probs(model, given, path, closed)  # (n + 1, V)
        if label is None:
            places = list(range(len(path)))
        else:
            places = [path.index(label) if label in path else int(probs[:, label].argmax())]
        targets = [closed[place] for place in places] if label is None else [label]
        if end:
            places, targets = [*places, len(path)], [*targets, closed[-1]]
        pairs = zip(places, targets, strict=True)
        return cls(path, targets, places, [float(probs[place, one]) for place, one in pairs])


def _step_probs(
    model: BaseModel, given: NetworkInput, path: list[int], closed: list[int]
) -> Tensor:
    """P(what follows) behind each beginning of a path, on the CPU."""
    whole = StepScore(model, closed, range(len(closed)), path, sample=given.sample)
    steps = torch.arange(len(closed), device=given.inputs.device)
    parts = [
        whole.step_scores(given.inputs.expand(len(part), -1, -1, -1), part).log_softmax(1)
        for part in steps.split(ROWS)
    ]
    log_probs = torch.cat(parts)
    # as the postprocessor changes the model
    log_probs[:, model.head.vocabulary.end] += model.head.postprocessor.end_bias
    return log_probs.softmax(1).cpu()


def _predict(model: BaseModel, given: NetworkInput) -> DataSample:
    """The model's prediction for the image."""
    samples = [given.sample.clone()]
    return model.head.predict(extract(model, given.inputs, samples), samples)[0]
