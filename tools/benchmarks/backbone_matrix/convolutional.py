# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The convolutional families; nearly all give a map."""

from typing import Any

from .family import Family, Form

__all__ = ['FAMILIES']

SPARSE = 'an encoder for SparK pretraining, which sets its mask: load its weights into '


def _maps(
    channels: int, size: int = 64, colours: int = 3, note: str = '', **options: Any
) -> Family:
    """A family whose default is a map already."""
    return Family(channels, options, Form(channels), size=size, colours=colours, note=note)


def _pooled(channels: int, note: str = '', **options: Any) -> Family:
    """A family that pools in front of its last norm, and gives a map where told not to."""
    given = Form(channels, dict(gap_before_final_norm=False))
    return Family(channels, options, given, (given,), note=note)


FAMILIES = {
    'LeNet5': _maps(120, 32, 1, 'takes grey images of 32 x 32'),
    'AlexNet': _maps(256),
    'VGG': _maps(512, depth=11, note='with num_classes > 0 it gives class scores'),
    'RegNet': _maps(384, arch='regnetx_400mf'),
    'ResNet': _maps(512, depth=18),
    'ResNetV1c': _maps(512, depth=18),
    'ResNetV1d': _maps(512, depth=18),
    'ResNet_CIFAR': _maps(512, 32, depth=18),
    'ResNeXt': _maps(2048, depth=50, groups=8, width_per_group=2),
    'ResNeSt': _maps(2048, depth=50),
    'Res2Net': _maps(2048, depth=50),
    'SEResNet': _maps(2048, depth=50),
    'SEResNeXt': _maps(2048, depth=50, groups=8, width_per_group=2),
    'CSPDarkNet': _maps(1024, depth=53),
    'CSPResNet': _maps(1024, depth=50),
    'CSPResNeXt': _maps(2048, depth=50),
    'DenseNet': _maps(112, arch=dict(growth_rate=16, depths=[2, 2, 4, 4], init_channels=32)),
    'HRNet': _maps(144, arch='w18', note='four stages, of which the last counts'),
    'InceptionV3': Family(
        1000,
        size=80,
        note='gives the scores of its own num_classes, which is in_channels of the head',
    ),
    'ShuffleNetV1': _maps(960),
    'ShuffleNetV2': _maps(1024, widen_factor=0.5),
    'MobileNetV2': _maps(1280, widen_factor=0.5),
    'MobileNetV3': _maps(288, arch='small_050'),
    'MobileOne': _maps(1024, arch='s0'),
    'EfficientNet': _maps(1280, arch='b0'),
    'EfficientNetV2': _maps(1280, arch='b0'),
    'RepVGG': _maps(1280, arch='A0'),
    'RepLKNet': _maps(
        256,
        arch=dict(
            large_kernel_sizes=[13, 11, 9, 5],
            layers=[1, 1, 2, 1],
            channels=[32, 64, 128, 256],
            small_kernel=5,
            dw_ratio=1,
        ),
    ),
    'ConvNeXt': _pooled(320, arch='atto'),
    'ConvMixer': _maps(64, arch=dict(embed_dims=64, depth=4, patch_size=7, kernel_size=7)),
    'EdgeNeXt': _pooled(168, arch='xxsmall'),
    'HorNet': _pooled(512, arch='tiny'),
    'VAN': _maps(256, arch='tiny'),
    'SparseResNet': Family(2048, dict(depth=50), Form(2048), note=SPARSE + 'ResNet'),
    'SparseConvNeXt': Family(
        320, dict(arch='atto'), Form(320, dict(gap_before_output=False)), note=SPARSE + 'ConvNeXt'
    ),
    'TIMMBackbone': Family(
        512,
        dict(model_name='resnet18', num_classes=0),
        Form(512, dict(features_only=True)),
        note='needs the package timm',
    ),
}
