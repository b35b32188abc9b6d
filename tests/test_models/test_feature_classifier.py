# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import FeatureClassifier
from cnnrnn_mm.models.constant_features import check_constant, is_constant, weights_digest

BACKBONE = dict(
    type='cnnrnn_mm.Frozen',
    module=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
)
HEAD = dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=32, dropout=0.0)


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


@pytest.fixture
def backbone():
    return MODELS.build(BACKBONE)


def build(backbone, shape=(32,), neck=None, **digests):
    digests = {'backbone_digest': weights_digest(backbone), 'neck_digest': weights_digest(neck)} | (
        digests
    )
    return FeatureClassifier(
        features='data/f', feature_shape=shape, backbone=backbone, neck=neck,
        head=MODELS.build(HEAD), **digests,
    )  # fmt: skip


def test_features_go_to_the_head_as_a_neck_gives_them(backbone):
    model = build(backbone)
    features = torch.rand(2, 32)
    (given,) = model.extract_feat(features)
    assert given is features
    assert model.extract_feat(features, stage='pre_logits') is features
    maps = torch.rand(2, 32, 3, 5)
    model = build(backbone, (32, 3, 5))
    assert model.extract_feat(maps)[0] is maps
    assert torch.equal(model.extract_feat(maps, 'pre_logits'), maps.mean((2, 3)))


def test_backbone_and_neck_stay_in_the_model(backbone):
    """The state dict is that of the ordinary model with the same parts."""
    neck = MODELS.build(dict(type='GlobalAveragePooling'))
    model = build(backbone, neck=neck)
    host = MODELS.build(dict(type='ImageClassifier', backbone=BACKBONE, head=HEAD))
    assert model.state_dict().keys() == host.state_dict().keys()
    assert [name for name, value in model.named_parameters() if value.requires_grad] == [
        name for name, _ in model.named_parameters() if name.startswith('head.')
    ]


@pytest.mark.parametrize(
    ('shape', 'inputs'),
    [((32,), (2, 3, 32, 32)), ((32,), (2, 31)), ((32, 3, 5), (2, 32)), ((32,), (32,))],
)
def test_anything_else_is_refused(backbone, shape, inputs):
    with pytest.raises(UsageError, match=r'inputs have shape .*, not that of features \(N, 32'):
        build(backbone, shape).extract_feat(torch.rand(inputs))


def test_stage_that_is_not_kept(backbone):
    with pytest.raises(UsageError, match="stage 'backbone' is not kept"):
        build(backbone).extract_feat(torch.rand(2, 32), stage='backbone')


def test_other_weights(backbone, tmp_path):
    wrong = build(backbone, backbone_digest='0' * 16)
    message = (
        rf'other weights of the backbone \(digest 0{{16}}\) than .*\({weights_digest(backbone)}'
    )
    with pytest.raises(UsageError, match='features in data/f were made with ' + message):
        wrong.extract_feat(torch.rand(2, 32))
    neck = MODELS.build(dict(type='cnnrnn_mm.Frozen', module=dict(type='GeneralizedMeanPooling')))
    with pytest.raises(UsageError, match='other weights of the neck'):
        build(backbone, neck=neck, neck_digest='0' * 16).extract_feat(torch.rand(2, 32))
    build(backbone, neck=neck).extract_feat(torch.rand(2, 32))


@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
def test_weights_are_compared_again_once_others_are_loaded(backbone, tmp_path, loader):
    model = build(backbone)
    model.extract_feat(torch.rand(2, 32))
    state = copy.deepcopy(model.state_dict())
    state['backbone.layer1.0.conv1.weight'][0, 0, 0, 0] += 1e-4
    torch.save(state, tmp_path / 'a.pth')
    if loader == 'torch':
        model.load_state_dict(state)
    else:
        load_checkpoint(model, str(tmp_path / 'a.pth'))
    with pytest.raises(UsageError, match='other weights of the backbone'):
        model.extract_feat(torch.rand(2, 32))


def test_digest_depends_on_the_weights_alone(backbone):
    before = weights_digest(backbone)
    assert len(before) == 16 and before == weights_digest(copy.deepcopy(backbone))
    plain = MODELS.build(BACKBONE['module'])
    plain.load_state_dict(backbone.state_dict())
    assert weights_digest(plain.to(memory_format=torch.contiguous_format)) == before
    plain.bn1.num_batches_tracked += 1
    assert weights_digest(plain) == before
    for change in ('conv1.weight', 'bn1.running_mean'):
        other = copy.deepcopy(plain)
        other.state_dict()[change].flatten()[0] += 1e-6
        assert weights_digest(other) != before
    assert weights_digest(plain.half()) != before
    empty = nn.Module()
    empty.register_buffer('empty', torch.zeros(0))
    assert weights_digest(empty) != weights_digest(None)
    # Names and shapes count: the same numbers elsewhere are other weights.
    first, second = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    second.weight.data = first.weight.data.view(2, 3)
    assert weights_digest(first) != weights_digest(second)
    assert weights_digest(nn.Linear(2, 2).to(torch.bfloat16))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.path = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Identity())
        self.requires_grad_(False)


@pytest.mark.parametrize(
    ('layer', 'message'),
    [
        (nn.Conv2d(4, 4, 1), r'neck\.path\.1\.weight is trained, so its features do not stay'),
        (nn.BatchNorm2d(4, affine=False), r'the statistics of neck\.path\.1 change in training'),
        (nn.Dropout2d(0.1), r'neck\.path\.1 drops values at random in training'),
        (nn.Dropout(0.0), None),
        (nn.BatchNorm2d(4, affine=False, track_running_stats=False), None),
        (nn.LayerNorm(4, elementwise_affine=False), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else '',
)
def test_parts_that_change_in_training(backbone, layer, message):
    part = Noisy()
    part.path[1] = layer
    if message is None:
        check_constant('neck', part)
        assert is_constant(part)
        return
    with pytest.raises(
        UsageError, match=message + ".*: freeze all of it with dict.*'cnnrnn_mm.Fro"
    ):
        check_constant('neck', part)
    with pytest.raises(UsageError, match=message.replace('neck', 'backbone')):
        build(part)
    assert not is_constant(part)


class Doubling(nn.Module):
    """What it gives is, as it says, no feature."""

    runs_on_features = True

    def forward(self, feats):
        return tuple(2 * one for one in feats)


def test_a_neck_that_trains_is_run(backbone):
    """On what the backbone gives; nothing is asked of the weights that it had before."""
    neck = MODELS.build(dict(type='GeneralizedMeanPooling', p=2.0, p_trainable=True))
    model = build(backbone, (32, 3, 5), neck, neck_digest=weights_digest(None))
    maps = torch.rand(2, 32, 3, 5)
    assert model.extract_feat(maps, stage='backbone')[0] is maps
    (pooled,) = model.extract_feat(maps)
    torch.testing.assert_close(pooled, maps.square().mean((2, 3)).sqrt())
    assert torch.equal(model.extract_feat(maps, 'pre_logits'), pooled)
    sample = DataSample().set_gt_label(torch.tensor([1]))
    model.loss(maps, [sample, sample])['loss'].backward()
    assert neck.p.grad.abs().sum() > 0
    neck.p.data.fill_(1.0)  # it was trained
    torch.testing.assert_close(model.extract_feat(maps)[0], maps.mean((2, 3)))
    with pytest.raises(UsageError, match="stage 'head' is not kept: take 'backbone' or 'neck' or"):
        model.extract_feat(maps, stage='head')
    with pytest.raises(UsageError, match='other weights of the neck'):
        build(backbone, (32, 3, 5), neck).extract_feat(maps)  # made behind a neck that was frozen


def test_a_neck_without_weights_that_gives_no_features_is_run(backbone):
    neck = Doubling()
    check_constant('neck', neck)
    assert not is_constant(neck) and is_constant(nn.Identity()) and is_constant(None)
    features = torch.rand(2, 32)
    assert torch.equal(build(backbone, neck=neck).extract_feat(features)[0], 2 * features)


def test_drop_path_and_partly_frozen_backbones():
    cfg = dict(type='ConvNeXt', arch=dict(depths=[2], channels=[4]), drop_path_rate=0.3)
    cfg.update(out_indices=(0,), gap_before_final_norm=False)
    with pytest.raises(UsageError, match=r'drops values at random in training'):
        check_constant('backbone', MODELS.build(cfg).requires_grad_(False))
    check_constant('backbone', MODELS.build(dict(type='cnnrnn_mm.Frozen', module=cfg)))
    cfg = dict(BACKBONE['module'], frozen_stages=4, norm_eval=True)
    check_constant('backbone', MODELS.build(cfg))  # the host's own way
    with pytest.raises(UsageError, match=r'backbone\.layer4\..* is trained'):
        check_constant('backbone', MODELS.build({**cfg, 'frozen_stages': 3}))
    with pytest.raises(
        UsageError, match=r'the statistics of backbone\.\S*bn\S* change in training'
    ):
        partly = MODELS.build({**cfg, 'frozen_stages': 0, 'norm_eval': False})
        check_constant('backbone', partly.requires_grad_(False))
