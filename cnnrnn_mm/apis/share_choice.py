# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which share of the label head's probability :class:`HybridHead` should take.

A share that is learnt on the training photos trusts whichever head has learnt them by heart, so it
is fitted on photos that neither head has seen (Wolpert, "Stacked generalization", 1992).

Axis letters: N images, C labels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ..errors import UsageError
from ..evaluation.functional import average_precision, mean_over_classes
from ..models import HybridHead, RegionClassifier

__all__ = ['MEASURES', 'ShareTrial', 'best_share', 'fit_share', 'try_shares']

MEASURES = ('mAP', 'nll')
#: Shares that are tried for mAP, which has no slope.
GRID = torch.arange(21) / 20
#: Weight of the share of all labels in that of each, in nats: a label that is rare in the split
#: says little about its own.
PRIOR = 10.0
#: Halvings of [0, 1]: more than float64 can tell apart.
HALVINGS = 60


@dataclass(frozen=True)
class ShareTrial:
    """A way to set the share, and what it gives.

    Attributes:
        name: Of the way.
        share: (C,).
        figures: ``'mAP'`` in percent over the classes with a true image, and ``'nll'``, nats an
            image: the sum over labels of -log of what the pooled score gave to the truth.
        held_out: The same where each photo is scored by a share that was fitted without it.
    """

    name: str
    share: Tensor
    figures: dict[str, float]
    held_out: dict[str, float]


def fit_share(paths: Tensor, independent: Tensor, truth: Tensor, by_label: bool = False) -> Tensor:
    """The share with the highest likelihood.

    The log-likelihood of a linear pool is concave in the share, so its slope is followed to 0 by
    halving. By label there is a prior: a beta density whose mode is the share of all labels.

    Args:
        paths: P(label in set) from paths, (N, C) in [0, 1].
        independent: Likewise, from the label head.
        truth: (N, C) bool.
        by_label: One share a label instead of one for all.

    Returns:
        (C,) float32 in [0, 1].
    """
    base, change = paths.double(), independent.double() - paths.double()
    sign = torch.where(truth, 1.0, -1.0).double()

    def slope(share: Tensor) -> Tensor:  # (C,) -> (C,)
        pooled = base + share * change
        right = torch.where(truth, pooled, 1 - pooled).clamp(min=1e-12)
        return (sign * change / right).sum(0)

    num_labels = truth.shape[1]
    shared = _root(lambda share: slope(share).sum().expand(num_labels), num_labels)
    if not by_label:
        return shared.float()
    mode = shared.clamp(1e-3, 1 - 1e-3)

    def slope_with_prior(share: Tensor) -> Tensor:
        return slope(share) + PRIOR * (mode / share - (1 - mode) / (1 - share))

    return _root(slope_with_prior, num_labels).float()


def _root(slope: Callable[[Tensor], Tensor], num_labels: int) -> Tensor:
    """Where falling slopes (C,) cross 0 in [0, 1]."""
    low = torch.zeros(num_labels, dtype=torch.float64)
    high = torch.ones_like(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = slope(middle) > 0
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return (low + high) / 2


def best_share(paths: Tensor, independent: Tensor, truth: Tensor) -> Tensor:
    """The share of :data:`GRID` with the highest mAP, for all labels; arguments as above."""
    found = [measure_share(paths, independent, truth, share)['mAP'] for share in GRID]
    return GRID[int(torch.tensor(found).argmax())].expand(truth.shape[1])


def measure_share(
    paths: Tensor, independent: Tensor, truth: Tensor, share: Tensor
) -> dict[str, float]:
    """The figures of :class:`ShareTrial` for shares that broadcast to (N, C)."""
    pooled = torch.lerp(paths.double(), independent.double(), share.double())
    right = torch.where(truth, pooled, 1 - pooled).clamp(min=1e-12)
    precision = average_precision(pooled, truth)
    return {
        'mAP': float(mean_over_classes(precision, skip_absent=True)),
        'nll': float(-right.log().sum(1).mean()),
    }


@torch.no_grad()
def try_shares(model: BaseModel, loader: Iterable, folds: int = 5) -> list[ShareTrial]:
    """Try every way to set the share on a split.

    Args:
        model: A classifier with a :class:`HybridHead`, its weights loaded; left as it was.
        loader: The split's dataloader, with ``gt_label`` in its samples.
        folds: Parts of the split for the held-out figures; photo i is in part i modulo folds.

    Raises:
        UsageError: If the head is another, or the split has fewer photos than parts.
    """
    if folds < 2:
        raise UsageError(f'folds is {folds}: set it to 2 or more')
    paths, independent, truth = _read_split(model, loader)
    if len(truth) < folds:
        raise UsageError(
            f'the split has {len(truth)} photos for {folds} parts: give more photos, or fewer parts'
        )
    ways: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        'paths alone': lambda *_: torch.zeros(truth.shape[1]),
        'label head alone': lambda *_: torch.ones(truth.shape[1]),
        'half': lambda *_: torch.full(truth.shape[1:], 0.5),
        'best mAP': best_share,
        'likelihood': fit_share,
        'likelihood, by label': partial(fit_share, by_label=True),
    }
    part = torch.arange(len(truth)) % folds
    trials = []
    for name, way in ways.items():
        share = way(paths, independent, truth)
        each = torch.empty(truth.shape)
        for fold in range(folds):
            rest = part != fold
            each[~rest] = way(paths[rest], independent[rest], truth[rest])
        figures = [measure_share(paths, independent, truth, one) for one in (share, each)]
        trials.append(ShareTrial(name, share, *figures))
    return trials


def _read_split(model: BaseModel, loader: Iterable) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities from paths and from the label head, and the truth, (N, C) each."""
    head = model.head
    if not isinstance(head, HybridHead):
        raise UsageError(
            f'the head is a {type(head).__name__}, which has no share: give the config of a '
            'HybridHead'
        )
    model.eval()
    before, truth = head.share.clone(), []
    found: dict[float, list[Tensor]] = {0.0: [], 1.0: []}
    try:
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            if isinstance(model, RegionClassifier):
                feats = model.locate(data['inputs'], data['data_samples'])
            else:
                feats = model.extract_feat(data['inputs'])
            for share, scores in found.items():  # the constraints of the config hold for both
                head.set_share(share)
                scores += [one.pred_score.cpu() for one in head.predict(feats)]
            for sample in data['data_samples']:
                marks = torch.zeros(head.num_classes, dtype=torch.bool)
                marks[sample.gt_label.cpu()] = True
                truth.append(marks)
    finally:
        head.set_share(before)
    if not truth:
        raise UsageError('the split has no photos: there is nothing to fit a share on')
    return torch.stack(found[0.0]), torch.stack(found[1.0]), torch.stack(truth)
