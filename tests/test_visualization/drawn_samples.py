# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Samples, what is drawn of them, and where it stands; for the tests of the visualizer."""

import numpy as np
import torch
from mmpretrain.structures import DataSample

NAMES = [f'class {i}' for i in range(40)]
MARGIN = 16
LINE = 26


def make_sample(gt=(0, 1), path=(1, 2), next_paths=((1,), ()), steps=None, **meta):
    """A sample as the postprocessor writes it; every step is 0.5 probable, unless given."""
    sample = DataSample(metainfo=meta).set_pred_label(torch.tensor(path, dtype=torch.long))
    if gt is not None:
        sample.set_gt_label(torch.tensor(gt, dtype=torch.long))
    sample.set_pred_score(torch.linspace(0, 1, len(NAMES)))
    paths = [list(path), *map(list, next_paths)]
    steps = torch.full((len(path) + 1,), 0.5) if steps is None else torch.tensor(steps)
    sample.set_field(paths, 'pred_paths')
    sample.set_field(steps.log(), 'pred_step_log_probs')
    sample.set_field(-torch.arange(1.0, len(paths) + 1), 'pred_path_log_probs')
    return sample


def draw(visualizer, photo, sample, **options):
    drawn = visualizer.visualize_cls(photo, sample, classes=NAMES, **options)
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    return drawn


def photo_of(drawn, height, width):
    return drawn[MARGIN : MARGIN + height, MARGIN : MARGIN + width]


def has_colour(drawn, colour):
    return (drawn == tuple(bytes.fromhex(colour[1:]))).all(2).any()
