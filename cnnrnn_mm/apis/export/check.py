# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether an exported file says what the model says.

Axis letters: N photos, H and W of the network's input, C labels, K paths kept, L labels that a path
may have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor

__all__ = ['ExportReport', 'compare_outputs', 'predict_photos']

#: Two hypotheses whose natural logs are this close are a tie for single precision.
TIE = 1e-4


@dataclass
class ExportReport:
    """What a comparison found.

    Attributes:
        num_photos: N.
        largest: The largest absolute difference of each kind of value.
        near_ties: Photos whose paths differ where the model itself finds both as probable.
        differences: One line for each photo on which the file is wrong.
    """

    num_photos: int
    largest: dict[str, float] = field(default_factory=dict)
    near_ties: list[int] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def note(self, name: str, photo: int, found: np.ndarray, expected: np.ndarray) -> None:
        """Compare values of one photo, which may differ by float error."""
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        if found.shape != expected.shape or not np.isfinite(found).all():
            self.differences.append(f'photo {photo}: {name} has other or non-finite entries')
            return
        gap = float(np.abs(found - expected).max(initial=0.0))
        self.largest[name] = max(self.largest.get(name, 0.0), gap)
        if gap > TIE:
            self.differences.append(f'photo {photo}: {name} differs by {gap:.2g}')


@torch.no_grad()
def predict_photos(
    model: BaseModel, photos: Sequence[Tensor], batch_size: int = 32, **kwargs: Any
) -> list[DataSample]:
    """What the model itself predicts, with the package's own search.

    Args:
        model: In evaluation mode.
        photos: N tensors (3, H, W) uint8, as the test pipeline gives them.
        batch_size: Photos at once.
        **kwargs: Passed on to the head, such as constraints; without any, ``test_step`` is called.
    """
    samples = []
    for start in range(0, len(photos), batch_size):
        inputs = list(photos[start : start + batch_size])
        data = dict(inputs=inputs, data_samples=[DataSample() for _ in inputs])
        if kwargs:
            data = model.data_preprocessor(data, False)
            samples += model.predict(data['inputs'], data['data_samples'], **kwargs)
        else:
            samples += model.test_step(data)
    return samples


def compare_outputs(
    outputs: dict[str, np.ndarray],
    samples: Sequence[DataSample],
    log_prob: Callable[[int, list[int]], float],
) -> ExportReport:
    """Compare what a file gives with what the model predicts.

    Paths have to be the same, rank by rank. Where they differ, the model says what the file's path
    is worth: if that is as much as its own path of that rank, up to float error, it is a near tie.

    Args:
        outputs: Of :class:`ExportModel`, by name, for N photos.
        samples: N, from :func:`predict_photos`.
        log_prob: ``log_prob(photo, path)``, natural log of a path's probability by the model.
    """
    report = ExportReport(len(samples))
    for photo, sample in enumerate(samples):
        report.note('scores', photo, outputs['scores'][photo], sample.pred_score.numpy())
        if 'paths' in outputs:
            _compare_paths(report, photo, outputs, sample, log_prob)
    return report


def _compare_paths(
    report: ExportReport,
    photo: int,
    outputs: dict[str, np.ndarray],
    sample: DataSample,
    log_prob: Callable[[int, list[int]], float],
) -> None:
    given = {name: values[photo] for name, values in outputs.items()}
    log_probs = sample.pred_path_log_probs.numpy()
    count = int(np.isfinite(given['path_log_probs']).sum())
    if count != len(log_probs):
        report.differences.append(f'photo {photo}: {count} paths for {len(log_probs)}')
        return
    report.note('path_log_probs', photo, given['path_log_probs'][:count], log_probs)
    for side in ('lower', 'upper'):
        bound = sample.get(f'pred_score_{side}').numpy()
        report.note(f'scores_{side}', photo, given[f'scores_{side}'], bound)
    paths = [[int(x) for x in path if x >= 0] for path in given['paths'][:count]]
    for rank, (path, expected) in enumerate(zip(paths, sample.pred_paths, strict=True)):
        if path == list(expected):
            continue
        if abs(log_prob(photo, path) - float(log_probs[rank])) > TIE:
            report.differences.append(f'photo {photo}: path {rank} is {path}, not {expected}')
        elif photo not in report.near_ties:
            report.near_ties.append(photo)
    labels = given['labels'][: given['counts']].tolist()
    if photo in report.near_ties:
        return
    if labels != sample.pred_label.tolist():
        expected = sample.pred_label.tolist()
        report.differences.append(f'photo {photo}: labels are {labels}, not {expected}')
        return
    steps = sample.pred_step_log_probs.exp().numpy()
    report.note('step_probs', photo, given['step_probs'][: len(steps)], steps)
    gap = float(given['gap']) - float(sample.pred_gap)
    if bool(given['proven']) != bool(sample.pred_proven) and abs(gap) > TIE:
        report.differences.append(f'photo {photo}: proven is {bool(given["proven"])}')
    if 'label_boxes' in outputs:
        boxes = sample.pred_label_regions.numpy()
        report.note('label_boxes', photo, given['label_boxes'][: len(labels)], boxes)
