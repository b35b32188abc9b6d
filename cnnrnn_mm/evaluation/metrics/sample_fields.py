# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the metrics read from a data sample, which reaches them as a dict.

Axis letters: N images, C classes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from cnnrnn_mm.errors import UsageError

from ..functional import labels_to_sets

__all__ = [
    'difficult_labels',
    'one_number_of_classes',
    'predicted_labels',
    'predicted_scores',
    'sets_of',
    'true_labels',
]


def predicted_labels(sample: dict, reader: str) -> list[int]:
    """``pred_label``: the decoded path, or what a host head puts over its threshold.

    Args:
        sample: The data sample.
        reader: Who reads it, for the message.

    Raises:
        UsageError: If there is none.
    """
    if sample.get('pred_label') is None:
        raise UsageError(f'the sample has no pred_label, which {reader} reads')
    return torch.as_tensor(sample['pred_label']).flatten().tolist()


def predicted_scores(sample: dict, reader: str) -> Tensor:
    """``pred_score`` (C,) on the CPU, at least float32; arguments as above.

    Raises:
        UsageError: If there is none, or a score is NaN.
    """
    if sample.get('pred_score') is None:
        raise UsageError(f'the sample has no pred_score, which {reader} reads')
    scores = torch.as_tensor(sample['pred_score']).detach().flatten()
    scores = scores.to('cpu', torch.promote_types(scores.dtype, torch.float32), copy=True)
    if scores.isnan().any():
        raise UsageError(
            f'pred_score of {sample.get("img_path", "an image")} holds NaN: look for it in the '
            'weights and in the loss'
        )
    return scores


def true_labels(sample: dict) -> list[int]:
    """Classes whose ``gt_score`` is at least 0.5, or else ``gt_label``.

    Raises:
        UsageError: If the sample has neither.
    """
    if sample.get('gt_score') is not None:
        return torch.as_tensor(sample['gt_score']).ge(0.5).nonzero().flatten().tolist()
    if sample.get('gt_label') is not None:
        return torch.as_tensor(sample['gt_label']).flatten().tolist()
    raise UsageError(
        'the sample has neither gt_score nor gt_label: does PackInputs run in the pipeline?'
    )


def difficult_labels(sample: dict) -> set[int]:
    """Classes of which the image shows difficult objects only.

    Raises:
        UsageError: If the sample does not say which ones it shows.
    """
    if sample.get('gt_label_difficult') is None:
        raise UsageError(
            'ignore_difficult=True needs gt_label_difficult: add it to meta_keys of PackInputs'
        )
    difficult = torch.as_tensor(sample['gt_label_difficult']).flatten().tolist()
    return set(difficult) - set(true_labels(sample))


def one_number_of_classes(sizes: Iterable[int]) -> int:
    """The number of classes that all results share.

    Raises:
        UsageError: If there is no result, or the numbers differ.
    """
    sizes = sorted(set(sizes))
    if len(sizes) != 1:
        raise UsageError(f'one number of classes is needed, the results have {sizes}')
    return sizes[0]


def sets_of(results: list[dict], key: str, num_classes: int) -> Tensor:
    """One field of the results, lists of class ids, as a boolean matrix (N, C)."""
    return labels_to_sets([result[key] for result in results], num_classes)
