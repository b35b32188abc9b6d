# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
import torch
from mmpretrain.models import CrossEntropyLoss
from torch.nn import functional

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import MultiLabelSoftmaxLoss

#: One label, three, none, all.
TARGET = torch.tensor(
    [[0, 0, 1, 0, 0], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.float
)


def plain_loss(scores, target):
    """In plain python: for each image -1/n times the sum of log softmax over its n labels."""
    total = 0.0
    for image, labels in zip(scores.tolist(), target.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(one) for one in image))
        true = [place for place, one in enumerate(labels) if one]
        total += sum(normaliser - image[place] for place in true) / max(len(true), 1)
    return total / len(target)


def test_loss_is_that_of_the_definition():
    scores = 3 * torch.randn(4, 5)
    assert MultiLabelSoftmaxLoss()(scores, TARGET).item() == pytest.approx(
        plain_loss(scores, TARGET), rel=1e-5
    )


def test_loss_is_the_hosts_with_soft_targets():
    scores, shares = torch.randn(3, 5), TARGET[[0, 1, 3]]
    theirs = CrossEntropyLoss(use_soft=True)(scores, shares / shares.sum(1, keepdim=True))
    assert torch.allclose(MultiLabelSoftmaxLoss()(scores, shares), theirs)


def test_one_label_is_ordinary_cross_entropy():
    scores, labels = torch.randn(6, 7), torch.tensor([3, 0, 6, 1, 1, 5])
    target = functional.one_hot(labels, 7)  # integers
    assert torch.allclose(
        MultiLabelSoftmaxLoss()(scores, target), functional.cross_entropy(scores, labels)
    )


def test_least_loss_is_the_entropy_of_the_target():
    scores = torch.where(TARGET[1:2] > 0, 0.0, -100.0)
    loss = MultiLabelSoftmaxLoss()(scores, TARGET[1:2])
    assert loss.item() == pytest.approx(math.log(3), rel=1e-5)


def test_gradient_is_softmax_minus_target():
    scores = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    loss = MultiLabelSoftmaxLoss(loss_weight=2.0)(scores, TARGET)
    (gradient,) = torch.autograd.grad(loss, scores)
    for image, labels in enumerate(TARGET):
        count = labels.sum()
        wanted = torch.zeros(5) if count == 0 else scores[image].softmax(0) - labels / count
        assert torch.allclose(gradient[image], 2 / 4 * wanted.double())
    assert torch.autograd.gradcheck(
        lambda one: MultiLabelSoftmaxLoss()(one, TARGET), scores, atol=1e-7
    )


def test_image_without_labels_counts_among_the_images():
    loss, scores = MultiLabelSoftmaxLoss(), torch.randn(4, 5)
    without = loss(scores[[0, 1, 3]], TARGET[[0, 1, 3]])
    assert torch.allclose(loss(scores, TARGET), without * 3 / 4)
    assert torch.allclose(loss(scores, TARGET, avg_factor=3), without)
    assert loss(scores[2:3], TARGET[2:3]).item() == 0


def test_adding_to_all_scores_of_an_image_changes_nothing():
    scores, shift = torch.randn(4, 5), torch.tensor([[5.0], [-80.0], [3.0], [0.5]])
    loss = MultiLabelSoftmaxLoss()
    assert torch.allclose(loss(scores + shift, TARGET), loss(scores, TARGET), atol=1e-5)


def test_half_precision_and_large_scores_stay_finite():
    scores = torch.tensor([[6e4, -6e4, 0.0, 0.0, 0.0]], dtype=torch.float16, requires_grad=True)
    loss = MultiLabelSoftmaxLoss()(scores, TARGET[:1])
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(6e4, rel=1e-3)
    assert bool(scores.grad.isfinite().all())


def test_negative_target():
    with pytest.raises(UsageError, match='a target is -1: .*leave out labels'):
        MultiLabelSoftmaxLoss()(torch.zeros(1, 5), TARGET[:1] - 1)
