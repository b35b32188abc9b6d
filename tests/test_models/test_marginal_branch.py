# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
import torch
from mmpretrain.structures import DataSample

from cnnrnn_mm.models import CNNRNNHead

LABELS = [[2, 0], [], [1]]


def build(weight):
    torch.manual_seed(3)
    return CNNRNNHead(
        num_classes=3,
        in_channels=4,
        embed_dims=5,
        hidden_dims=5,
        dropout=0.0,
        marginal=dict(loss_weight=weight) if weight else None,
    )


def losses_of(head, features):
    samples = [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in LABELS]
    return head.loss((features,), samples)


def test_loss_is_the_binary_cross_entropy_of_every_label():
    head, features = build(0.5), torch.randn(3, 4)
    scores = head.marginal_branch.classifier(features).sigmoid().tolist()
    expected = -sum(
        math.log(p if label in truth else 1 - p)
        for row, truth in zip(scores, LABELS, strict=True)
        for label, p in enumerate(row)
    )
    loss = losses_of(head, features)['loss_marginal']
    assert float(loss.detach()) == pytest.approx(0.5 * expected / 3, rel=1e-5)


def test_branch_leaves_the_sequence_loss_and_the_prediction_alone():
    features = torch.randn(3, 4)
    plain, branched = build(0.0), build(1.0)
    branched.load_state_dict(plain.state_dict(), strict=False)
    assert 'loss_marginal' not in losses_of(plain, features)
    torch.testing.assert_close(
        losses_of(plain, features)['loss'], losses_of(branched, features)['loss']
    )
    one, other = (head.eval().predict((features,)) for head in (plain, branched))
    for left, right in zip(one, other, strict=True):
        assert left.pred_paths == right.pred_paths
        torch.testing.assert_close(left.pred_score, right.pred_score)


def test_features_get_the_gradient_of_labels_that_the_sequence_gives_away():
    features = torch.randn(3, 4, requires_grad=True)
    losses_of(build(1.0), features)['loss_marginal'].backward()
    assert (features.grad.abs().sum(-1) > 0).all()
