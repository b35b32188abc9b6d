# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.evaluation.functional import (
    class_scores,
    count_labels,
    label_set_scores,
    labels_to_sets,
    repeats_label,
    topk_labels,
)
from cnnrnn_mm.registry import METRICS

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
    'repeated',
)


@METRICS.register_module()
class LabelSetMetric(BaseMetric):
    """Score the predicted label set of each image, as in section 4.1 of the CNN-RNN paper.

    It reads ``pred_label`` (the decoded path, or what the host's multi-label head puts over its
    threshold), which the host's own multi-label metrics never do. ``C-F1`` is the literature's: the
    harmonic mean of C-P and C-R. The mean of the classes' F1 is ``mean-class-F1``. What each score
    means, and what 0/0 gives, is in :mod:`cnnrnn_mm.evaluation.functional.label_set`. Scores are in
    percent, sizes in labels.

    ``repeated`` is the share of images, in percent, whose ``pred_label`` names some label more than
    once; in all other scores such a label counts once.

    Args:
        topk: None to score ``pred_label``; a number k to score the k best classes of ``pred_score``
            instead, always exactly k, as the paper does with k = 3 (NUS-WIDE-81 and COCO) and 10
            (NUS-WIDE-1000). The names then end in ``_top{k}``. Defaults to None.
        num_classes: C. Defaults to None: taken from the length of ``pred_score``, or else from the
            sample's ``num_classes``.
        items: Names of the scores to report, out of ``ITEMS``. Defaults to None: all of them, but
            without ``repeated`` where topk is given, since classes taken from scores cannot repeat.
        classwise: Also report ``precision_classwise``, ``recall_classwise`` and
            ``f1-score_classwise``, lists of C percentages. Defaults to False.
        skip_absent: Leave classes without positives out of the class averages. Defaults to False:
            they count as 0.
        ignore_difficult: Leave an image out for the classes of which it shows difficult objects
            only (``gt_label_difficult``, as the host's VOC dataset gives it), where it counts
            neither way. Defaults to False: such a label is not true, so predicting it is a mistake.
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
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if topk is not None and topk < 1:
            raise UsageError(f'topk is {topk}: use None or a number from 1 on')
        if items is None:
            items = tuple(item for item in ITEMS if topk is None or item != 'repeated')
        unknown = [item for item in items if item not in ITEMS]
        if unknown:
            raise UsageError(f'unknown items {unknown}: choose from {list(ITEMS)}')
        if topk is not None and 'repeated' in items:
            raise UsageError(
                "'repeated' is counted on pred_label: leave it out of items, or topk=None"
            )
        self.topk = topk
        self.num_classes = num_classes
        self.items = tuple(items)
        self.classwise = classwise
        self.skip_absent = skip_absent
        self.ignore_difficult = ignore_difficult

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Store the predicted and the true label ids of each image.

        Args:
            data_batch: Not used.
            data_samples: One dict an image, with ``pred_label`` (or ``pred_score`` where topk is
                given) and ``gt_score`` (C,), true where it is at least 0.5, or else ``gt_label``.
        """
        for sample in data_samples:
            pred, gt = self._predicted(sample), self._true(sample)
            repeated = self.topk is None and repeats_label(pred)
            if self.ignore_difficult:
                hidden = self._difficult(sample) - set(gt)
                pred = [label for label in pred if label not in hidden]
            self.results.append(
                dict(pred=pred, gt=gt, repeated=repeated, num_classes=self._num_classes(sample))
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float | list[float]]:
        """Compute the chosen scores from the results of all processes."""
        sizes = sorted({result['num_classes'] for result in results})
        if len(sizes) != 1:
            raise UsageError(f'one number of classes is needed, the results have {sizes}')
        pred = labels_to_sets([result['pred'] for result in results], sizes[0])  # (N, C)
        target = labels_to_sets([result['gt'] for result in results], sizes[0])  # (N, C)
        scores = label_set_scores(pred, target, skip_absent=self.skip_absent)
        scores['repeated'] = 100.0 * sum(result['repeated'] for result in results) / len(results)

        suffix = '' if self.topk is None else f'_top{self.topk}'
        metrics = {item + suffix: scores[item] for item in self.items}
        if self.classwise:
            names = ('precision', 'recall', 'f1-score')
            for name, values in zip(names, class_scores(count_labels(pred, target)), strict=True):
                metrics[f'{name}{suffix}_classwise'] = values.tolist()
        return metrics

    def _predicted(self, sample: dict) -> list[int]:
        key = 'pred_label' if self.topk is None else 'pred_score'
        if key not in sample:
            raise UsageError(
                f'the sample has no {key}, which LabelSetMetric(topk={self.topk}) reads'
            )
        values = torch.as_tensor(sample[key]).flatten()
        return (values if self.topk is None else topk_labels(values, self.topk)).tolist()

    @staticmethod
    def _true(sample: dict) -> list[int]:
        if 'gt_score' in sample:
            return torch.as_tensor(sample['gt_score']).ge(0.5).nonzero().flatten().tolist()
        if 'gt_label' in sample:
            return torch.as_tensor(sample['gt_label']).flatten().tolist()
        raise UsageError(
            'the sample has neither gt_score nor gt_label: does PackInputs run in the pipeline?'
        )

    @staticmethod
    def _difficult(sample: dict) -> set[int]:
        if 'gt_label_difficult' not in sample:
            raise UsageError(
                'ignore_difficult=True needs gt_label_difficult: add it to meta_keys of PackInputs'
            )
        return set(torch.as_tensor(sample['gt_label_difficult']).flatten().tolist())

    def _num_classes(self, sample: dict) -> int:
        if self.num_classes is not None:
            return self.num_classes
        if 'pred_score' in sample:
            return len(sample['pred_score'])
        if 'num_classes' in sample:
            return sample['num_classes']
        raise UsageError(
            'the sample has neither pred_score nor num_classes: give num_classes to the metric'
        )
