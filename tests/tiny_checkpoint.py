# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A checkpoint as a tiny run leaves it, without the run: random weights, kept fixed."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from tiny_run import CLASSES, write_config

#: Other heads for the tiny run; the features are maps of 32 channels, 8 x 8, averaged by the neck.
HOST_HEAD = """
model['head'] = dict(
    type='MultiLabelLinearClsHead', num_classes=4, in_channels=32, thr=0.3,
    loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
)
"""
CSRA_HEAD = """
model['neck'] = None
model['head'] = dict(
    type='CSRAClsHead', num_classes=4, in_channels=32, num_heads=1, lam=0.1, topk=2,
    loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
)
"""
SKIP_HEAD = """
model['head'].update(
    decoder=dict(type='SkipDecoder'), marginal=dict(),
    postprocessor=dict(beam_size=3, constraints=dict(order='training')),
)
"""
REGIONS_HEAD = """
model['type'] = 'cnnrnn_mm.RegionClassifier'
model['neck'] = dict(
    type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, num_regions=5, sample_size=2,
    proposals=dict(type='ProposalNetwork', hidden=8),
)
model['head'] = dict(
    type='cnnrnn_mm.RLSDHead', num_classes=4, in_channels=32, embed_dims=8, hidden_dims=8,
    recurrent='gru', label_decoder=dict(type='LabelDecoder'),
)
"""


def write_checkpoint(
    folder: Path, photos: Path, extra: str = '', name: str = 'tiny', **meta: object
) -> tuple[Path, Path]:
    """Write a config and a checkpoint of it.

    Args:
        folder: Where they go.
        photos: The VOC folder of the run.
        extra: Appended to the config.
        name: Of the files.
        **meta: Entries of the checkpoint's ``meta`` to replace; None leaves one out.

    Returns:
        Paths of the checkpoint and of the config.
    """
    config = write_config(photos, folder / f'{name}.py', extra)
    cfg = Config.fromfile(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    for module in model.modules():  # let the images through, which small scales would not
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_var.uniform_(0.1, 0.3)
    with torch.no_grad():  # spread the answers, which small random weights leave all alike
        for weight in model.head.parameters():
            weight.mul_(4)
    known = {
        'cfg': cfg.pretty_text,
        'dataset_meta': {'classes': CLASSES},
        'label_order': {'': {'order': 'frequent_first', 'sequence': [3, 1, 2, 0]}},
    }
    known = {key: value for key, value in {**known, **meta}.items() if value is not None}
    path = folder / f'{name}.pth'
    torch.save({'meta': known, 'state_dict': model.state_dict()}, path)
    return path, config
