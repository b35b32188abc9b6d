# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.models import VGG

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import VGGFullyConnected

NAMES = ['classifier.0.weight', 'classifier.0.bias', 'classifier.3.weight', 'classifier.3.bias']


def small(**options):
    return VGGFullyConnected(in_channels=3, map_size=2, feature_dims=5, **options)


def test_shapes_and_names_are_those_of_the_host():
    """On the meta device, so without half a gigabyte of weights."""
    with torch.device('meta'):
        host, neck = VGG(16, num_classes=1000), VGGFullyConnected()
    shapes = {name: value.shape for name, value in host.state_dict().items()}
    ours = {name: value.shape for name, value in neck.state_dict().items()}
    assert list(ours) == NAMES
    assert all(shapes[name] == shape for name, shape in ours.items())
    for one, other in zip(neck.classifier, host.classifier, strict=False):
        assert repr(one) == repr(other)


def test_two_rectified_layers():
    neck = small().eval()
    maps = torch.randn(2, 3, 2, 2)
    first, second = neck.classifier[0], neck.classifier[3]
    neck.requires_grad_(False)
    (feature,) = neck((torch.randn(2, 9, 4, 4), maps))
    expected = (maps.flatten(1) @ first.weight.T + first.bias).clamp(min=0)
    expected = (expected @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(feature, expected)
    assert float(feature.min()) == 0  # behind the rectifier, as the paper's feature


def test_dropout_in_training_only():
    neck = VGGFullyConnected(in_channels=3, map_size=2, feature_dims=64)
    maps = (torch.randn(2, 3, 2, 2),)
    assert not torch.equal(neck(maps)[0], neck(maps)[0])
    neck.eval()
    assert torch.equal(neck(maps)[0], neck(maps)[0])


def test_checkpoint_of_a_classifier_loads(tmp_path):
    """``backbone.classifier.0`` and ``.3`` of a checkpoint, the rest of it left over."""
    source = {name: torch.randn_like(value) for name, value in small().state_dict().items()}
    state = {f'backbone.{name}': value for name, value in source.items()}
    state['backbone.classifier.6.weight'] = torch.randn(9, 5)
    state['backbone.features.0.conv.weight'] = torch.randn(2, 2)
    torch.save({'state_dict': state}, tmp_path / 'vgg.pth')
    checkpoint = str(tmp_path / 'vgg.pth')
    neck = small(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone'))
    neck.init_weights()
    for name, value in neck.state_dict().items():
        assert torch.equal(value, source[name]), name


def test_map_of_another_size_names_both():
    message = r'\(512, 7, 7\).*\(512, 14, 14\).*224 x 224'
    with torch.device('meta'), pytest.raises(UsageError, match=message):
        VGGFullyConnected()((torch.zeros(1, 512, 14, 14),))


@pytest.mark.slow
def test_equals_the_host_s_fc7(tmp_path):
    """Half a gigabyte: the host's VGG, saved whole, against VGG without top and this neck."""
    host = VGG(11, num_classes=3)
    host.eval()  # returns nothing
    with torch.no_grad():
        for layer in (host.classifier[0], host.classifier[3]):
            layer.bias.uniform_(-0.1, 0.1)
    torch.save({f'backbone.{k}': v for k, v in host.state_dict().items()}, tmp_path / 'vgg.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg.pth'), prefix='backbone')
    fc7 = []
    host.classifier[4].register_forward_hook(lambda *args: fc7.append(args[2].clone()))
    picture = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        host(picture)
        del host
        backbone = VGG(11, init_cfg=pretrained)
        backbone.eval()
        backbone.init_weights()
        neck = VGGFullyConnected(init_cfg=pretrained).eval()
        neck.init_weights()
        (feature,) = neck(backbone(picture))
    assert feature.shape == (1, 4096) and float(feature.max()) > 0
    torch.testing.assert_close(feature, fc7[0])
    (tmp_path / 'vgg.pth').unlink()
