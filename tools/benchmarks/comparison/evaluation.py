# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a trained model to what it says of a split. Axis letters: N images, C labels."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.runner import Runner
from tables.runs import Run
from tables.worker import Report
from tables.worker import perform as perform_run
from torch import Tensor, nn

from cnnrnn_mm.datasets.annotations import class_names
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.evaluation.functional import labels_to_sets
from cnnrnn_mm.models import CNNRNNHead, RegionClassifier

from . import map_maximum  # noqa: F401 - registers what a row names
from .conditional_head import ConditionalLabelHead
from .known import SETTINGS, draw_keys, reveal
from .outputs import Outputs, independent_outputs
from .path_outputs import path_outputs

__all__ = ['evaluate_splits', 'perform', 'predict_split']


def perform(run: Run, about: dict[str, Any], report: Report) -> dict[str, Any]:
    """Train and evaluate what of a run is not done yet; see tables/worker.py."""
    return perform_run(run, about, report, evaluate_splits)


@torch.no_grad()
def evaluate_splits(run: Run, model: nn.Module, done: Sequence[str]) -> dict[str, Any]:
    """Write the outputs of each split that is not done."""
    found = {}
    for split, config in run.loaders.items():
        if split not in done:
            loader = Runner.build_dataloader(config, seed=run.seed)
            outputs = predict_split(model, loader, run.options)
            outputs.save(run.dump_path(split))
            found[split] = dict(digest=run.digests[split], images=len(outputs.target))
    return found


@torch.no_grad()
def predict_split(model: nn.Module, loader: Any, options: dict[str, Any]) -> Outputs:
    """Predict all images.

    Args:
        model: A classifier of the host with a head of paths, or of one sigmoid a label.
        loader: Dataloader of the split, not shuffled.
        options: ``known_seed``, ``samples`` and ``sample_seed``.
    """
    model.eval()
    head, num_classes = model.head, len(class_names(loader.dataset))
    keys = draw_keys(len(loader.dataset), num_classes, options['known_seed'])
    parts, first = [], 0
    for batch in loader:
        data = model.data_preprocessor(batch, training=False)
        samples = data['data_samples']
        feats = _look(model, data['inputs'], samples)
        rows = keys[first : first + len(samples)]
        first += len(samples)
        target = labels_to_sets([one.gt_label for one in samples], num_classes)
        ignored = _difficult(samples, target)
        known = {name: reveal(target, rows, name)[0] for name in SETTINGS if name != '0'}
        if isinstance(head, CNNRNNHead):
            parts.append(path_outputs(head, feats, target, ignored, known, options))
        else:
            parts.append(_score_outputs(head, feats, target, ignored, known))
    return Outputs.joined(parts)


def _look(model: nn.Module, inputs: Tensor, samples: Sequence[Any]) -> tuple:
    """What backbone and neck make of a batch."""
    if isinstance(model, RegionClassifier):
        return model.locate(inputs, samples)
    return model.extract_feat(inputs)


def _score_outputs(
    head: nn.Module,
    feats: tuple[Tensor, ...],
    target: Tensor,
    ignored: Tensor,
    known: dict[str, Tensor],
) -> Outputs:
    if getattr(head, 'score', 'sigmoid') != 'sigmoid':
        raise UsageError(
            f"the head's score is '{head.score}': the comparison takes probabilities of single "
            "labels, so use score='sigmoid'"
        )
    predicted = [one.pred_label for one in head.predict(feats)]
    completion = {}
    if isinstance(head, ConditionalLabelHead):
        completion = {
            name: head(feats, one.to(feats[-1].device)).sigmoid().cpu()
            for name, one in known.items()
        }
    return independent_outputs(
        target,
        ignored,
        head(feats).cpu(),
        labels_to_sets(predicted, target.shape[1]),
        completion=completion,
    )


def _difficult(samples: Sequence[Any], target: Tensor) -> Tensor:
    """Labels of which an image shows difficult objects only, where the samples name them."""
    ids = [one.get('gt_label_difficult', ()) for one in samples]
    return labels_to_sets(ids, target.shape[1]) & ~target
