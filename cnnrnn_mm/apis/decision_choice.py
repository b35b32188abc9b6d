# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which decision rule does best on a split.

Axis letters: N images, C labels, F image feature size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor

from ..errors import UsageError
from ..evaluation import LabelSetMetric
from ..models.postprocessors import PathPostprocessor
from ..registry import MODELS
from ..search import best_threshold

__all__ = ['MEASURES', 'DecisionTrial', 'describe_rule', 'try_decisions']

MEASURES = ('O-F1', 'C-F1', 'example-F1', 'exact-match')
#: Measures that :func:`best_threshold` can tune a threshold for.
THRESHOLD_MEASURES = MEASURES[:3]


@dataclass(frozen=True)
class DecisionTrial:
    """A rule and what it gives.

    Attributes:
        options: Of the postprocessor: ``decision`` and ``end_bias``.
        figures: In percent, by the names of :data:`MEASURES`, and ``'set-size'`` in labels.
        tuned: Whether an option was fitted on the very split that the figures are of.
    """

    options: dict
    figures: dict[str, float]
    tuned: bool = field(default=False)


@torch.no_grad()
def try_decisions(
    model: BaseModel,
    loader: Iterable,
    end_biases: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    num_samples: int = 256,
) -> list[DecisionTrial]:
    """Answer a split by every rule.

    Args:
        model: A classifier with a head of label paths, its weights loaded.
        loader: The split's dataloader, with ``gt_label`` in its samples.
        end_biases: To try with the best path.
        num_samples: Of :class:`ExpectedF1Decision`.

    Raises:
        UsageError: If the head does not search for paths, or the split is empty.
    """
    post = getattr(model.head, 'postprocessor', None)
    if not isinstance(post, PathPostprocessor):
        raise UsageError(
            f'{type(model.head).__name__} does not search for label paths: give the config of a '
            'CNNRNNHead with a beam-search or best-first postprocessor'
        )
    feats, truth = _read_split(model, loader)
    before = post.decision, post.end_bias
    trials = []
    try:
        for bias in end_biases:
            samples = _answer(model, post, feats, dict(type='PathDecision'), bias)
            options = dict(decision=dict(type='PathDecision'), end_bias=bias)
            trials.append(DecisionTrial(options, _measure(samples, truth), bias != 0))
        samples = _answer(model, post, feats, dict(type='PathDecision'), 0.0)
        scores = torch.stack([one.pred_score for one in samples]).cpu()
        marks = torch.zeros_like(scores, dtype=torch.bool)
        for row, labels in enumerate(truth):
            marks[row, labels] = True
        for name in THRESHOLD_MEASURES:
            thr, _ = best_threshold(scores, marks, name)
            decision = dict(type='ThresholdDecision', thr=thr)
            samples = _answer(model, post, feats, decision, 0.0)
            options = dict(decision=decision, end_bias=0.0)
            trials.append(DecisionTrial(options, _measure(samples, truth), True))
        decision = dict(type='ExpectedF1Decision', num_samples=num_samples)
        samples = _answer(model, post, feats, decision, 0.0)
        options = dict(decision=decision, end_bias=0.0)
        trials.append(DecisionTrial(options, _measure(samples, truth)))
    finally:
        post.decision, post.end_bias = before
    return trials


def describe_rule(options: dict) -> str:
    """The options in a few words."""
    decision = dict(options['decision'])
    words = [decision.pop('type'), *(f'{key} {value:.4g}' for key, value in decision.items())]
    words += [f'end_bias {options["end_bias"]:+g}'] if options['end_bias'] else []
    return ', '.join(words)


def _read_split(model: BaseModel, loader: Iterable) -> tuple[list[tuple], list[Tensor]]:
    """The features of each batch, and the true labels of each image."""
    model.eval()
    feats, truth = [], []
    for batch in loader:
        data = model.data_preprocessor(batch, training=False)
        feats.append(model.extract_feat(data['inputs']))
        truth += [one.gt_label.cpu() for one in data['data_samples']]
    if not truth:
        raise UsageError('the split has no images: there is nothing to choose on')
    return feats, truth


def _answer(
    model: BaseModel, post: PathPostprocessor, feats: list, decision: dict, end_bias: float
) -> list[DataSample]:
    post.decision = MODELS.build({**decision, '_scope_': 'cnnrnn_mm'})
    post.end_bias = end_bias
    return [sample for batch in feats for sample in model.head.predict(batch)]


def _measure(samples: Sequence[DataSample], truth: Sequence[Tensor]) -> dict[str, float]:
    metric = LabelSetMetric(items=[*MEASURES, 'set-size'])
    pairs = zip(samples, truth, strict=True)
    metric.process({}, [one.set_gt_label(labels).to_dict() for one, labels in pairs])
    found = metric.evaluate(len(samples))
    return {name: float(found[f'label-set/{name}']) for name in (*MEASURES, 'set-size')}
