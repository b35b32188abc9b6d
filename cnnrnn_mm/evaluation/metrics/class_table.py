# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import METRICS

from ..class_table_output import format_class_table, save_class_table
from ..functional import class_table, topk_labels
from .sample_fields import (
    difficult_labels,
    one_number_of_classes,
    predicted_labels,
    predicted_scores,
    sets_of,
    true_labels,
)

__all__ = ['ClassTable']


@METRICS.register_module()
class ClassTable(BaseMetric):
    """Log the scores of each class as a table, and write them to a CSV file.

    For each class: images that have it, images for which it is predicted, precision, recall and F1
    of ``pred_label``, and the average precision of ``pred_score``, by area and by VOC 2007's 11
    points. Class names come from the dataset's ``metainfo``. It reports no figure of its own.

    Args:
        out_file_path: The CSV file, written anew at each evaluation, by the main process, whole or
            not at all. Defaults to None: the table is only logged.
        topk: None to score ``pred_label``; a number k to score the k best classes of ``pred_score``
            instead. Defaults to None.
        ignore_difficult: Leave an image out for the classes of which it shows difficult objects
            only (``gt_label_difficult``). Defaults to False: such a label is not true.
        log: Log the table. Defaults to True.
        collect_device: 'cpu' or 'gpu', where the results of several processes are collected.
        prefix: Stands in the title of the table. Defaults to None, which gives 'classes'.

    Raises:
        UsageError: If ``out_file_path`` does not end in .csv.
    """

    default_prefix: str | None = 'classes'

    def __init__(
        self,
        out_file_path: str | None = None,
        topk: int | None = None,
        ignore_difficult: bool = False,
        log: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if out_file_path is not None and Path(out_file_path).suffix != '.csv':
            raise UsageError(f'out_file_path is {out_file_path}: give a name that ends in .csv')
        if topk is not None and topk < 1:
            raise UsageError(f'topk is {topk}: use None or a number from 1 on')
        self.out_file_path = out_file_path
        self.topk = topk
        self.ignore_difficult = ignore_difficult
        self.log = log

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Store what is predicted and what is true of each image.

        Args:
            data_batch: Not used.
            data_samples: One dict an image, with ``pred_score`` (C,), ``gt_score`` (C,) or
                ``gt_label``, and ``pred_label`` unless topk is given.
        """
        for sample in data_samples:
            scores = predicted_scores(sample, 'ClassTable')
            if self.topk is None:
                pred = predicted_labels(sample, 'ClassTable(topk=None)')
            else:
                pred = topk_labels(scores, self.topk).tolist()
            result = dict(score=scores, pred=pred, gt=true_labels(sample))
            if self.ignore_difficult:
                result['hidden'] = sorted(difficult_labels(sample))
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Log and write the table; there is nothing to report."""
        num_classes = one_number_of_classes(len(result['score']) for result in results)
        rows = class_table(
            sets_of(results, 'pred', num_classes),
            sets_of(results, 'gt', num_classes),
            torch.stack([result['score'] for result in results]),
            sets_of(results, 'hidden', num_classes) if self.ignore_difficult else None,
            self._names(num_classes),
        )
        if self.log:
            what = 'predicted sets' if self.topk is None else f'{self.topk} best labels'
            title = f'{self.prefix}: {what} of {len(results):,} images'
            print_log('\n' + format_class_table(rows, title), logger='current')
        if self.out_file_path is not None:
            save_class_table(self.out_file_path, rows)
        return {}

    def _names(self, num_classes: int) -> Sequence[str] | None:
        """The dataset's class names, where they are those of this head."""
        names = (self.dataset_meta or {}).get('classes')
        return names if names is not None and len(names) == num_classes else None
