# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Let the model name labels by itself, and assign the true labels to its steps.

Axis letters: N images, C labels, L labels of the longest list.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...search import State, StepFunction

__all__ = ['align_labels', 'finite', 'keep_named', 'name_labels']

#: Stands for a cost that is not finite, which would mean "not allowed".
HIGHEST = 1e6


@torch.no_grad()
def name_labels(
    step: StepFunction, state: State, start: int, lengths: Sequence[int], barred: Tensor
) -> Tensor:
    """The labels that a model names by itself: at each step the most probable one that is left.

    As in search, no label comes twice, and END is no input: where the model would rather end, it is
    the label that it would go on with.

    Args:
        step: The model.
        state: Its state before START.
        start: START.
        lengths: N numbers of labels to name.
        barred: (N, C) bool, labels that an image may not name.

    Returns:
        (N, L) int64; what stands behind an image's last one means nothing.
    """
    num_classes, device = barred.shape[1], barred.device
    # The longest first: images that are done drop out at the end of the batch.
    lengths = torch.tensor(lengths)
    lengths, order = lengths.sort(descending=True, stable=True)
    order = order.to(device)
    state, used = tuple(part[order] for part in state), barred[order]
    tokens = torch.full((len(lengths),), start, device=device)
    named = torch.zeros(len(lengths), int(lengths[0]), dtype=torch.long, device=device)
    for place in range(named.shape[1]):
        count = int((lengths > place).sum())
        used = used[:count]
        scores, state = step(tokens[:count], tuple(part[:count] for part in state))
        costs = finite(-scores[:, :num_classes])
        tokens = costs.masked_fill(used, torch.inf).argmin(-1)
        used = used.scatter(1, tokens.unsqueeze(1), True)
        named[:count, place] = tokens
    return torch.empty_like(named).index_copy_(0, order, named)


def keep_named(costs: Tensor, named: Tensor, labels: Tensor) -> Tensor:
    """Let no label stand elsewhere than at the step that named it.

    Args:
        costs: (N, L, L), of each step for each label.
        named: (N, L) int64, what each step named; no label twice.
        labels: (N, L) int64, the true labels; padding is no label.

    Returns:
        The costs, infinite for a step that named a true label and for that label, but where they
        meet.
    """
    same = named.unsqueeze(2) == labels.unsqueeze(1)
    taken = same.any(2, keepdim=True) | same.any(1, keepdim=True)
    return costs.masked_fill(taken & ~same, torch.inf)


def align_labels(costs: Tensor, lengths: Sequence[int]) -> Tensor:
    """Assign the labels of each image to its steps so that the costs add up to the least.

    Args:
        costs: (N, L, L), of each step for each label; infinite for what may not be. Of an image
            with n labels the first n steps and labels count.
        lengths: N numbers of labels.

    Returns:
        (N, L) int64: which label each step gets; its own place behind an image's last one.
    """
    table = costs.double().cpu().numpy()  # one transfer for the batch
    places = np.tile(np.arange(table.shape[1]), (len(table), 1))
    for row, length in enumerate(lengths):
        if length > 1:
            places[row, :length] = linear_sum_assignment(table[row, :length, :length])[1]
    return torch.from_numpy(places).to(costs.device)


def finite(costs: Tensor) -> Tensor:
    """Costs that can be compared, of a model that gives NaN or probabilities of 0, too."""
    return costs.nan_to_num(nan=HIGHEST, posinf=HIGHEST)
