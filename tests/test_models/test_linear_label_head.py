# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import LinearLabelHead, MultiLabelSoftmaxLoss, WARPLoss
from cnnrnn_mm.models.heads.marginal_branch import MarginalBranch

LABELS = [[0, 3], [], [2]]


def samples():
    return [DataSample().set_gt_label(torch.tensor(one).long()) for one in LABELS]


def make_head(score, **options):
    torch.manual_seed(0)
    head = LinearLabelHead(4, 6, score=score, **options)
    torch.nn.init.normal_(head.fc.weight)
    torch.nn.init.normal_(head.fc.bias)
    return head


@pytest.mark.parametrize('options', [{}, dict(thr=0.3), dict(topk=2), dict(thr=0.6, topk=1)])
def test_with_sigmoids_it_is_the_hosts_head(options):
    ours, feats = make_head('sigmoid', **options), (torch.randn(3, 6),)
    theirs = MultiLabelLinearClsHead(4, 6, **options)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.loss(feats, samples())['loss'], theirs.loss(feats, samples())['loss'])
    for one, other in zip(ours.predict(feats), theirs.predict(feats), strict=True):
        assert torch.equal(one.pred_score, other.pred_score)
        assert one.pred_label.tolist() == other.pred_label.tolist()


@pytest.mark.parametrize(
    ('score', 'loss', 'kind'),
    [
        ('softmax', 'MultiLabelSoftmaxLoss', MultiLabelSoftmaxLoss),
        ('raw', 'cnnrnn_mm.WARPLoss', WARPLoss),
    ],
)
@pytest.mark.parametrize('scope', ['mmpretrain', 'cnnrnn_mm'])
def test_losses_are_config_lines(score, loss, kind, scope, default_scope):
    default_scope(scope)
    head = MODELS.build(
        dict(
            type='cnnrnn_mm.LinearLabelHead',
            num_classes=4,
            in_channels=6,
            score=score,
            topk=3,
            loss=dict(type=loss, loss_weight=2.0),
        )
    )
    assert type(head.loss_module) is kind and head.loss_module.loss_weight == 2
    feats = torch.randn(3, 6)
    torch.manual_seed(1)
    loss = head.loss((feats,), samples())['loss']
    target = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    torch.manual_seed(1)
    assert torch.equal(loss, kind(loss_weight=2.0)(head.fc(feats), target))


def test_scores():
    feats = torch.randn(3, 6)
    raw = make_head('raw', topk=1).fc(feats)
    wanted = {'sigmoid': 1 / (1 + (-raw).exp()), 'raw': raw}
    wanted['softmax'] = raw.exp() / raw.exp().sum(1, keepdim=True)
    for score, values in wanted.items():
        found = make_head(score, topk=1).predict((feats,))
        assert torch.allclose(torch.stack([one.pred_score for one in found]), values, atol=1e-6)


@pytest.mark.parametrize('score', ['sigmoid', 'softmax', 'raw'])
def test_best_labels_come_first_and_ties_by_class(score):
    head = make_head(score, topk=3)
    torch.nn.init.zeros_(head.fc.weight)
    head.fc.bias.data = torch.tensor([0.2, 0.7, 0.2, 0.2])
    (found,) = head.predict((torch.ones(1, 6),))
    assert found.pred_label.tolist() == [1, 0, 2]


def test_samples_keep_what_they_hold():
    before = samples()
    found = make_head('softmax', topk=2).predict((torch.randn(3, 6),), before)
    assert all(one is other for one, other in zip(found, before, strict=True))
    assert found[0].gt_label.tolist() == [0, 3] and len(found[0].pred_label) == 2


def test_a_hidden_layer_is_that_of_the_marginal_branch():
    head = LinearLabelHead(4, 6, hidden_dims=5, dropout=0.3)
    branch = MarginalBranch(4, 6, hidden_dims=5, dropout=0.3)
    head.init_weights()  # torch's own start, as the branch has
    assert 0.1 < float(head.fc.weight.detach().abs().max()) < 5**-0.5
    head.hidden.load_state_dict(branch.hidden[1].state_dict())
    head.fc.load_state_dict(branch.classifier.state_dict())
    feats = torch.randn(3, 6)
    for training in (True, False):
        head.train(training), branch.train(training)
        torch.manual_seed(1)
        logits = head((feats,))
        torch.manual_seed(1)
        assert torch.equal(logits, branch(feats))
    labels = [one.gt_label for one in samples()]
    ours, theirs = head.loss((feats,), samples())['loss'], branch.loss(branch(feats), labels)
    assert torch.allclose(ours, theirs)
    scores = torch.stack([one.pred_score for one in head.predict((feats,))])
    assert torch.allclose(scores, branch(feats).sigmoid())


def test_dropout_without_a_hidden_layer_is_that_of_the_feature():
    head, feats = make_head('sigmoid', dropout=0.5), (torch.ones(200, 6),)
    assert torch.equal(head.eval().pre_logits(feats), feats[0])
    values = head.train().pre_logits(feats)
    assert set(values.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize('hidden_dims', [0, 5])
def test_maps_are_averaged(hidden_dims):
    head, maps = make_head('sigmoid', hidden_dims=hidden_dims), torch.randn(3, 6, 2, 2)
    assert torch.allclose(head((maps,)), head((maps.mean((2, 3)),)), atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(score='logit'), "score is 'logit': choose from sigmoid, softmax, raw"),
        (dict(score='softmax'), 'no natural threshold: set topk'),
        (dict(score='raw'), 'no natural threshold: set topk'),
        (dict(score='raw', topk=5), r'topk is 5: set it to a value in 1\.\.4'),
        (dict(topk=0), r'topk is 0: set it to a value in 1\.\.4'),
        (
            dict(hidden_dims=-1),
            'hidden_dims is -1 and dropout is 0.0: set hidden_dims to 0 or more',
        ),
        (dict(dropout=1.0), 'dropout is 1.0: .* to a value in'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        LinearLabelHead(4, 6, **options)
