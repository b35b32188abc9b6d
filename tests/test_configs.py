# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Every config builds, and says how it is run and what it gave."""

import re
from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import METRICS, MODELS, TRANSFORMS
from tiny_run import ROOT

from cnnrnn_mm.models import CNNRNNHead

CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
IDS = [path.stem for path in CONFIGS]


def test_there_are_configs():
    assert {'cnnrnn_vgg16_voc', 'cnnrnn_resnet50_voc', 'cnnrnn_demo'} <= set(IDS)


@pytest.mark.parametrize('path', CONFIGS, ids=IDS)
def test_header_names_command_and_figure(path):
    header = path.read_text().split('_base_')[0]
    assert f'python tools/train.py configs/{path.name}' in header
    assert re.search(r'Not run: needs|\d\d\.\d', header), 'a measured figure, or what is missing'


@pytest.mark.parametrize('path', CONFIGS, ids=IDS)
def test_model_pipelines_and_metrics_build(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    # VGG-16's 134 million weights need no memory; other backbones compute with theirs when built.
    with torch.device('meta') if 'vgg16' in path.stem else nullcontext():
        model = MODELS.build(cfg.model)
    classes = cfg.data_preprocessor.num_classes
    if path.stem.startswith('cnnrnn'):
        assert isinstance(model.head, CNNRNNHead)
        assert model.head.num_classes == classes
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for transform in (cfg[name] or dict(dataset=dict(pipeline=[])))['dataset']['pipeline']:
            TRANSFORMS.build(transform)
    for metric in (cfg.val_evaluator or []) + cfg.test_evaluator:
        METRICS.build(metric)


@pytest.mark.parametrize('path', CONFIGS, ids=IDS)
def test_no_epoch_is_selected_on_the_test_split(path):
    cfg = Config.fromfile(path)
    saves_best = cfg.default_hooks.checkpoint.get('save_best') is not None
    if cfg.val_dataloader is None:
        assert not saves_best
    else:
        assert cfg.val_dataloader.dataset.get('split', 'val') == 'val'
        assert cfg.val_dataloader.dataset.get('ann_file', 'val') != 'test.json'


def test_paper_faithful_config_is_the_papers():
    cfg = Config.fromfile(ROOT / 'configs' / 'cnnrnn_vgg16_voc.py')
    head, optimizer = cfg.model.head, cfg.optim_wrapper.optimizer
    assert (head.in_channels, head.embed_dims, head.hidden_dims) == (4096, 64, 512)
    assert (head.recurrent, head.dropout) == ('relu_lstm', 0.5)
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('RMSprop', 0.9, 1e-4)
    assert cfg.train_dataloader.dataset.split == 'trainval'
    assert cfg.test_dataloader.dataset.split == 'test'
    with torch.device('meta'):
        init_default_scope(cfg.default_scope)
        model = MODELS.build(cfg.model)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained and all(name.startswith('head.') for name in trained)


@pytest.mark.parametrize(
    ('name', 'least', 'most'), [('coco', 0, 3), ('nuswide81', 3, 3), ('nuswide1000', 10, 10)]
)
def test_papers_protocol_for_k_labels(name, least, most):
    """At most k labels on COCO, exactly k on NUS-WIDE, and k in the metric."""
    cfg = Config.fromfile(ROOT / 'configs' / f'cnnrnn_vgg16_{name}.py')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    head = MODELS.build(cfg.model.head).eval()
    assert head.num_classes == cfg.data_preprocessor.num_classes
    with torch.no_grad():
        # Scores that favour END at once, then scores that never do: the length is held.
        sizes = set()
        for factor in (20.0, -20.0):
            head.decoder.embedding.weight[head.vocabulary.end] = factor
            head.decoder.image_projection.bias.fill_(1.0)
            sizes |= {len(one.pred_label) for one in head.predict((torch.rand(3, 4096),))}
    assert sizes == {least, most}
    assert [metric.get('topk') for metric in cfg.test_evaluator[:2]] == [None, most]
    assert cfg.val_dataloader is None
