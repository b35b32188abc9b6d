# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from mmpretrain.models import VGG, MobileNetV2, ResNet_CIFAR
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cnnrnn_mm.models import Frozen, VGGFullyConnected

MOBILE = dict(type='mmpretrain.MobileNetV2', widen_factor=0.1)
SMALL = dict(type='mmpretrain.ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4)


@pytest.fixture(params=[MOBILE, SMALL], ids=lambda cfg: cfg['type'])
def cfg(request):
    return dict(request.param)


def buffers_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_train_leaves_everything_in_eval(cfg):
    module = Frozen(cfg)
    assert not any(part.training for part in module.modules())
    module.train()
    assert not any(part.training for part in module.modules())
    torch.nn.Sequential(module, torch.nn.Dropout()).train()
    assert not any(part.training for part in module.modules())


def test_the_plain_module_does_train(cfg):
    """Guards the test above: without Frozen these modules do go into training mode."""
    module = MODELS.build(cfg)
    module.train()
    assert any(part.training for part in module.modules())


def test_no_gradient(cfg):
    module = Frozen(cfg)
    assert list(module.parameters())
    assert not any(weights.requires_grad for weights in module.parameters())
    module.train()
    assert not module(torch.randn(2, 3, 32, 32))[-1].requires_grad


def test_it_is_the_module_itself(cfg):
    module, plain = Frozen(cfg), MODELS.build(cfg)
    assert isinstance(module, type(plain)) and type(module).__name__ == type(plain).__name__
    assert list(module.state_dict()) == list(plain.state_dict())
    assert cfg in (MOBILE, SMALL)  # the config is not changed
    module.load_state_dict(plain.state_dict())
    picture = torch.randn(2, 3, 32, 32)
    plain.eval()
    module.train()
    torch.testing.assert_close(module(picture)[-1], plain(picture)[-1])


def test_other_modules_of_the_class_stay_free():
    Frozen(dict(SMALL))
    plain = MODELS.build(dict(SMALL))
    plain.train()
    assert plain.training and all(weights.requires_grad for weights in plain.parameters())
    assert type(plain) is ResNet_CIFAR


@pytest.mark.parametrize('kind', [MobileNetV2, ResNet_CIFAR])
def test_training_steps_change_nothing(kind, default_scope):
    """Weights and the statistics of batch normalisation, in a classifier that does learn."""
    default_scope('mmpretrain')
    module = MOBILE if kind is MobileNetV2 else SMALL
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='cnnrnn_mm.Frozen', module=dict(module)),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='cnnrnn_mm.CNNRNNHead', num_classes=3, embed_dims=4, hidden_dims=4,
                in_channels=1280 if kind is MobileNetV2 else 32,
            ),
        )
    )  # fmt: skip
    assert isinstance(model.backbone, kind)
    model.init_weights()
    frozen, head = buffers_of(model.backbone), buffers_of(model.head)
    assert any('running_mean' in name for name in frozen)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    for _ in range(2):
        model.train()
        samples = [DataSample().set_gt_label([0, 2]), DataSample().set_gt_label([1])]
        optimiser.zero_grad()
        model(3 + 2 * torch.randn(2, 3, 32, 32), samples, mode='loss')['loss'].backward()
        optimiser.step()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, frozen[name]), name
    assert any(not torch.equal(v, head[k]) for k, v in model.head.state_dict().items())


def test_dropout_of_a_neck_is_off():
    neck = Frozen(
        dict(
            type='VGGFullyConnected',
            in_channels=3,
            map_size=2,
            feature_dims=64,
            _scope_='cnnrnn_mm',
        )
    )
    neck.train()
    maps = (torch.randn(2, 3, 2, 2),)
    assert isinstance(neck, VGGFullyConnected)
    assert torch.equal(neck(maps)[0], neck(maps)[0])


def test_class_whose_train_returns_nothing():
    """The host's VGG; the result is still the module."""
    module = Frozen(dict(type='VGG', depth=11, norm_cfg=dict(type='BN'), _scope_='mmpretrain'))
    torch.nn.Sequential(module).train()
    assert isinstance(module, VGG)
    assert not any(part.training for part in module.modules())


def test_deepcopy_is_frozen_too(cfg):
    """As the host's averaged models do."""
    module = Frozen(cfg)
    twin = copy.deepcopy(module)
    twin.train()
    assert not twin.training and not any(w.requires_grad for w in twin.parameters())
    picture = torch.randn(1, 3, 32, 32)
    assert torch.equal(twin(picture)[-1], module(picture)[-1])
    next(twin.parameters()).data.add_(1)
    assert not torch.equal(next(twin.parameters()), next(module.parameters()))


def test_pretrained_weights_still_load(cfg, tmp_path):
    plain = MODELS.build(cfg)
    for value in plain.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1)
    state = {f'backbone.{name}': value for name, value in plain.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'weights.pth')
    pretrained = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone'
    )
    module = Frozen(dict(cfg, init_cfg=pretrained))
    module.init_weights()
    for name, value in module.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name
    assert not any(weights.requires_grad for weights in module.parameters())
    module.train()
    assert not any(part.training for part in module.modules())
