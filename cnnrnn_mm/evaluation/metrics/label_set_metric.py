# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Sequence
from functools import partial

import torch
from mmengine.evaluator import BaseMetric

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import METRICS

from ..functional import (
    check_bootstrap,
    class_scores,
    count_labels,
    count_repeats,
    label_set_statistic,
    topk_labels,
)
from .intervals import with_intervals
from .sample_fields import (
    difficult_labels,
    one_number_of_classes,
    predicted_labels,
    predicted_scores,
    sets_of,
    true_labels,
)

__all__ = ['ITEMS', 'LabelSetMetric']

#: Scores of paths, which classes taken from scores do not have.
PATH_ITEMS = ('repeated', 'repeated-labels')
ITEMS = (
    'C-P',
    'C-R',
    'C-F1',
    'mean-class-F1',
    'O-P',
    'O-R',
    'O-F1',
    'example-F1',
    'Jaccard',
    'exact-match',
    'set-size',
    'gt-set-size',
    'set-size-error',
    *PATH_ITEMS,
)


@METRICS.register_module()
class LabelSetMetric(BaseMetric):
    """Score the predicted label set of each image, as in section 4.1 of the CNN-RNN paper.

    It reads ``pred_label`` (the decoded path, or what the host's multi-label head puts over its
    threshold), which the host's own multi-label metrics never do. ``C-F1`` is the literature's: the
    harmonic mean of C-P and C-R. The mean of the classes' F1 is ``mean-class-F1``. What each score
    means, and what 0/0 gives, is in docs/metrics.md. Scores are in percent, sizes in labels.

    ``repeated`` is the share of images whose ``pred_label`` names some label more than once, and
    ``repeated-labels`` the share of all labels in ``pred_label`` that stand earlier in the same
    path, too. In all other scores a repeated label counts once.

    Args:
        topk: None to score ``pred_label``; a number k to score the k best classes of ``pred_score``
            instead, always exactly k, as the paper does with k = 3 (NUS-WIDE-81 and COCO) and 10
            (NUS-WIDE-1000). The names then end in ``_top{k}``. Defaults to None.
        thr: Score the classes whose ``pred_score`` is at least this; with topk, those of the k best
            where it is, as in the "top-3" columns since ML-GCN (CVPR 2019). The names then end in
            ``_thr-{thr:.2f}``. Defaults to None.
        num_classes: C. Defaults to None: taken from the length of ``pred_score``, or else from the
            sample's ``num_classes``.
        items: Names of the scores to report, out of ``ITEMS``. Defaults to None: all of them, but
            without ``repeated`` and ``repeated-labels`` where topk or thr is given, since classes
            taken from scores cannot repeat.
        classwise: Also report ``precision_classwise``, ``recall_classwise`` and
            ``f1-score_classwise``, lists of C percentages. Defaults to False.
        skip_absent: Leave classes without positives out of the class averages. Defaults to False:
            they count as 0.
        ignore_difficult: Leave an image out for the classes of which it shows difficult objects
            only (``gt_label_difficult``, as the host's VOC dataset gives it), where it counts
            neither way. Defaults to False: such a label is not true, so predicting it is a mistake.
        bootstrap: Resamples of the images for an interval of each score, reported as ``C-F1_low``
            and ``C-F1_high``; 1000 is usual. Defaults to 0: no intervals.
        confidence: Share of the resamples inside an interval. Defaults to 0.95.
        seed: Of the resamples. Defaults to 0.
        collect_device: 'cpu' or 'gpu', where the results of several processes are collected.
        prefix: Put before the names. Defaults to None, which gives 'label-set'.

    A checkpoint hook needs ``rule='greater'`` beside ``save_best='label-set/C-F1'``.
    """

    default_prefix: str | None = 'label-set'

    def __init__(
        self,
        topk: int | None = None,
        num_classes: int | None = None,
        items: Sequence[str] | None = None,
        classwise: bool = False,
        skip_absent: bool = False,
        ignore_difficult: bool = False,
        thr: float | None = None,
        bootstrap: int = 0,
        confidence: float = 0.95,
        seed: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if topk is not None and topk < 1:
            raise UsageError(f'topk is {topk}: use None or a number from 1 on')
        reads_path = topk is None and thr is None
        if items is None:
            items = tuple(item for item in ITEMS if reads_path or item not in PATH_ITEMS)
        unknown = [item for item in items if item not in ITEMS]
        if unknown:
            raise UsageError(f'unknown items {unknown}: choose from {list(ITEMS)}')
        counted = [item for item in items if item in PATH_ITEMS]
        if counted and not reads_path:
            raise UsageError(
                f"'{counted[0]}' is counted on pred_label: leave it out of items, or topk and thr"
            )
        check_bootstrap(bootstrap, confidence)
        self.topk, self.thr = topk, thr
        self.suffix = '' if topk is None else f'_top{topk}'
        self.suffix += '' if thr is None else f'_thr-{thr:.2f}'
        self.num_classes = num_classes
        self.items = tuple(items)
        self.classwise = classwise
        self.skip_absent = skip_absent
        self.ignore_difficult = ignore_difficult
        self.bootstrap, self.confidence, self.seed = bootstrap, confidence, seed

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Store the predicted and the true label ids of each image.

        Args:
            data_batch: Not used.
            data_samples: One dict an image, with ``pred_label`` (or ``pred_score`` where topk or
                thr is given) and ``gt_score`` (C,), true where it is at least 0.5, or else
                ``gt_label``.
        """
        for sample in data_samples:
            pred = self._predicted(sample)
            result = dict(pred=pred, gt=true_labels(sample), num_classes=self._num_classes(sample))
            result.update(length=len(pred), repeats=count_repeats(pred))
            if self.ignore_difficult:
                hidden = difficult_labels(sample)
                result['pred'] = [label for label in pred if label not in hidden]
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float | list[float]]:
        """Compute the chosen scores from the results of all processes."""
        num_classes = one_number_of_classes(result['num_classes'] for result in results)
        images = (
            sets_of(results, 'pred', num_classes),
            sets_of(results, 'gt', num_classes),
            torch.tensor([result['repeats'] for result in results]),
            torch.tensor([result['length'] for result in results]),
        )
        metrics: dict[str, float | list[float]] = {
            **with_intervals(
                partial(label_set_statistic, skip_absent=self.skip_absent),
                images,
                self.items,
                bootstrap=self.bootstrap,
                confidence=self.confidence,
                seed=self.seed,
                suffix=self.suffix,
            )
        }
        if self.classwise:
            names = ('precision', 'recall', 'f1-score')
            for name, values in zip(names, class_scores(count_labels(*images[:2])), strict=True):
                metrics[f'{name}{self.suffix}_classwise'] = values.tolist()
        return metrics

    def _predicted(self, sample: dict) -> list[int]:
        reader = f'LabelSetMetric(topk={self.topk}, thr={self.thr})'
        if self.topk is None and self.thr is None:
            return predicted_labels(sample, reader)
        scores = predicted_scores(sample, reader)
        labels = topk_labels(scores, len(scores) if self.topk is None else self.topk)
        return labels.tolist() if self.thr is None else labels[scores[labels] >= self.thr].tolist()

    def _num_classes(self, sample: dict) -> int:
        if self.num_classes is not None:
            return self.num_classes
        if sample.get('pred_score') is not None:
            return len(sample['pred_score'])
        if 'num_classes' in sample:
            return sample['num_classes']
        raise UsageError(
            'the sample has neither pred_score nor num_classes: give num_classes to the metric'
        )
