# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How often predicted sets break the law of the demo scenes."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from cnnrnn_mm.datasets.demo_scenes.law import is_legal
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import METRICS

__all__ = ['SceneLawMetric']


@METRICS.register_module()
class SceneLawMetric(BaseMetric):
    """Percentage of images whose predicted label set no demo scene can have.

    It reads ``pred_label`` of each data sample, the class indices of the predicted set in any
    order, (K,) with K >= 0, and nothing of the ground truth. The empty set is legal.

    It reports ``law_broken``, from 0 to 100; lower is better.

    Args:
        collect_device: 'cpu' or 'gpu': where results of several processes are gathered.
            Defaults to 'cpu'.
        prefix: Put before the name of the figure, as in ``prefix/law_broken``.
            Defaults to None.
    """

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Judge the predicted set of each data sample; ``data_batch`` is not used.

        Raises:
            UsageError: If a data sample has no ``pred_label``.
        """
        for sample in data_samples:
            if sample.get('pred_label') is None:
                raise UsageError(
                    'a data sample has no pred_label: SceneLawMetric needs a head that predicts '
                    'sets, not scores alone'
                )
            labels = torch.as_tensor(sample['pred_label']).reshape(-1).tolist()
            self.results.append(is_legal(labels))

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Turn one judgement per image into ``law_broken``, in percent."""
        return {'law_broken': 100.0 * results.count(False) / len(results)}
