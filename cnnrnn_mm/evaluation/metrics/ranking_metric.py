# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import METRICS

from ..functional import (
    average_precision,
    average_precision_at_k,
    check_bootstrap,
    mean_over_classes,
    mean_over_images,
    rank_classes,
    rank_labels,
    ranked_average_precision,
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

__all__ = ['ITEMS', 'RankingMetric']

#: Scores that rank the images for each class, and the method of each.
CLASS_ITEMS = {'mAP': 'area', 'mAP_11points': '11points', 'mAP_interpolated': 'interpolated'}
#: Scores that rank the labels of each image.
IMAGE_ITEMS = ('MAP@k', 'MAP@k_path')
ITEMS = (*CLASS_ITEMS, *IMAGE_ITEMS)


@METRICS.register_module()
class RankingMetric(BaseMetric):
    """Score rankings: of the images for each class (mAP), of the labels for each image (MAP@k).

    It reads ``pred_score``, as every multi-label head gives it. Definitions, and which published
    tables use which, are in docs/metrics.md. All scores are in percent:

    - ``mAP``: mean over classes of the area under the precision-recall curve, as in scikit-learn;
    - ``mAP_11points``: the same of the 11-point average precision of VOC 2007;
    - ``mAP_interpolated``: the same of the interpolated area of VOC 2010 and later;
    - ``MAP@k``: mean over images of the average precision of their k best labels;
    - ``MAP@k_path``: the same, but with the labels of ``pred_label`` in front, in their order. For
      heads that give a path; the order of the host heads' ``pred_label`` means nothing.

    Args:
        k: Labels that MAP@k looks at; its number stands in the name. Defaults to 10, as in the
            CNN-RNN paper.
        items: Names of the scores to report, out of ``ITEMS``. Defaults to
            ``('mAP', 'mAP_11points', 'MAP@k')``.
        classwise: Also report ``AP_classwise``, ``AP_11points_classwise`` and
            ``AP_interpolated_classwise`` beside their means: lists of C percentages. A class
            without positives has 0, or NaN where ``skip_absent`` is True. Defaults to False.
        skip_absent: Leave classes without positives out of the means over classes. Defaults to
            False: they count as 0, as in the host's ``AveragePrecision``.
        ignore_difficult: Leave an image out for the classes of which it shows difficult objects
            only (``gt_label_difficult``, as the host's VOC dataset gives it), where it is neither
            hit nor miss. VOC's protocols do. Defaults to False: such a label is not true.
        bootstrap: Resamples of the images for an interval of each score, reported as ``mAP_low``
            and ``mAP_high``; 1000 is usual. Defaults to 0: no intervals.
        confidence: Share of the resamples inside an interval. Defaults to 0.95.
        seed: Of the resamples. Defaults to 0.
        collect_device: 'cpu' or 'gpu', where the results of several processes are collected.
        prefix: Put before the names. Defaults to None, which gives 'ranking'.
    """

    default_prefix: str | None = 'ranking'

    def __init__(
        self,
        k: int = 10,
        items: Sequence[str] = ('mAP', 'mAP_11points', 'MAP@k'),
        classwise: bool = False,
        skip_absent: bool = False,
        ignore_difficult: bool = False,
        bootstrap: int = 0,
        confidence: float = 0.95,
        seed: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if k < 1:
            raise UsageError(f'k is {k}: use a number from 1 on')
        unknown = [item for item in items if item not in ITEMS]
        if unknown:
            raise UsageError(f'unknown items {unknown}: choose from {list(ITEMS)}')
        check_bootstrap(bootstrap, confidence)
        self.k = k
        self.items = tuple(items)
        self.classwise = classwise
        self.skip_absent = skip_absent
        self.ignore_difficult = ignore_difficult
        self.bootstrap, self.confidence, self.seed = bootstrap, confidence, seed

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Store the scores and the true label ids of each image.

        Args:
            data_batch: Not used.
            data_samples: One dict an image, with ``pred_score`` (C,), ``gt_score`` (C,) or
                ``gt_label``, and ``pred_label`` where ``MAP@k_path`` is asked for.
        """
        for sample in data_samples:
            result = dict(score=predicted_scores(sample, 'RankingMetric'), gt=true_labels(sample))
            if 'MAP@k_path' in self.items:
                result['path'] = predicted_labels(sample, 'RankingMetric(items=[MAP@k_path])')
            if self.ignore_difficult:
                result['hidden'] = sorted(difficult_labels(sample))
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float | list[float]]:
        """Compute the chosen scores from the results of all processes."""
        num_classes = one_number_of_classes(len(result['score']) for result in results)
        scores = torch.stack([result['score'] for result in results])  # (N, C)
        target = sets_of(results, 'gt', num_classes)
        ignored = sets_of(results, 'hidden', num_classes) if self.ignore_difficult else None
        paths: dict[str, Any] = {
            'MAP@k': None,
            'MAP@k_path': [result.get('path') for result in results],
        }
        of_images = {
            item: average_precision_at_k(rank_labels(scores, self.k, paths[item], ignored), target)
            for item in IMAGE_ITEMS
            if item in self.items
        }
        methods = {item: CLASS_ITEMS[item] for item in self.items if item in CLASS_ITEMS}
        ignored = torch.zeros_like(target) if ignored is None else ignored
        figures = with_intervals(
            lambda *columns: self._statistic(columns, methods, list(of_images)),
            (scores, target, ignored, *of_images.values()),
            self.items,
            bootstrap=self.bootstrap,
            confidence=self.confidence,
            seed=self.seed,
        )
        metrics: dict[str, float | list[float]] = {
            name.replace('@k', f'@{self.k}'): value for name, value in figures.items()
        }
        if self.classwise:
            for item, method in methods.items():
                values = average_precision(scores, target, ignored, method)
                values = values if self.skip_absent else values.nan_to_num(0)
                metrics[f'{item.removeprefix("m")}_classwise'] = values.tolist()
        return metrics

    def _statistic(
        self, columns: Sequence[Tensor], methods: dict[str, str], of_images: Sequence[str]
    ) -> Callable[[Tensor], dict[str, Tensor]]:
        """The scores as a function of how often each image counts, see functional/bootstrap.py."""
        ranking = rank_classes(*columns[:3]) if methods else []
        if self.bootstrap:  # many calls; one alone makes each class when it comes to it
            ranking = list(ranking)

        def scores(weights: Tensor) -> dict[str, Tensor]:
            values = {}
            if methods:
                of_classes = ranked_average_precision(ranking, weights, list(methods.values()))
                for item, method in methods.items():
                    values[item] = mean_over_classes(of_classes[method], self.skip_absent)
            for item, column in zip(of_images, columns[3:], strict=True):
                values[item] = mean_over_images(column, weights)
            return values

        return scores
