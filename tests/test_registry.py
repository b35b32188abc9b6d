# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Every way in which a config can name our types and the host's.

What is imported when decides here, so each way is tried in a process of its own that has imported
nothing of cnnrnn_mm and nothing of the host before.
"""

import mmengine.registry as root
import pytest
from forked_tool import run_forked
from mmpretrain import registry as host

from cnnrnn_mm import registry
from cnnrnn_mm.models import CNNRNNHead

#: What each process begins with.
START = """
import sys, warnings
from mmengine.config import Config
from mmengine.registry import init_default_scope

assert not any(name.startswith(('mmpretrain', 'cnnrnn_mm')) for name in sys.modules)
warnings.simplefilter('ignore')
argument = sys.argv[1]
"""

BUILD_MODEL = """
from mmengine.registry import MODELS
assert not any(name.startswith('cnnrnn_mm') for name in sys.modules), 'imported too early'
cfg = Config.fromfile(argument)
init_default_scope(cfg.default_scope)
model = MODELS.build(cfg.model)
assert type(model).__name__ == 'ImageClassifier', type(model)
for part, name in (
    (model.head, 'cnnrnn_mm.models.heads.cnn_rnn_head.CNNRNNHead'),
    (model.head.loss_module, 'cnnrnn_mm.models.losses.sequence_loss.SequenceLoss'),
    (
        model.head.postprocessor,
        'cnnrnn_mm.models.postprocessors.beam_search_postprocessor.BeamSearchPostprocessor',
    ),
    (model.backbone, 'mmpretrain.models.backbones.resnet_cifar.ResNet_CIFAR'),
    (model.neck, 'mmpretrain.models.necks.gap.GlobalAveragePooling'),
    (model.data_preprocessor, 'mmpretrain.models.utils.data_preprocessor.ClsDataPreprocessor'),
):
    found = f'{type(part).__module__}.{type(part).__name__}'
    assert found == name, found
assert model.head.postprocessor.options['beam_size'] == cfg.get('beam_size', 5)
assert model.head.loss_module.loss_weight == cfg.get('loss_weight', 1.0)
"""

HOST_PARTS = """
    backbone=dict(type='{prefix}ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='{prefix}GlobalAveragePooling'),
"""
HEAD = 'num_classes=4, in_channels=32, embed_dims=4, hidden_dims=4'

WAYS = {
    'prefix under mmpretrain': f"""
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='cnnrnn_mm.CNNRNNHead', {HEAD}))
""",
    '_scope_ on the head': f"""
default_scope = 'mmpretrain'
beam_size = 2
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='CNNRNNHead', _scope_='cnnrnn_mm', {HEAD},
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=2)))
""",
    'bare names everywhere': f"""
default_scope = 'cnnrnn_mm'
loss_weight = 2.0
beam_size = 3
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='CNNRNNHead', {HEAD},
        loss=dict(type='SequenceLoss', loss_weight=2.0),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=3)))
""",
    'host prefixes under cnnrnn_mm': f"""
default_scope = 'cnnrnn_mm'
model = dict(type='mmpretrain.ImageClassifier', {HOST_PARTS.format(prefix='mmpretrain.')}
    head=dict(type='cnnrnn_mm.CNNRNNHead', {HEAD}))
""",
    'nested bare names under mmpretrain': f"""
default_scope = 'mmpretrain'
loss_weight = 2.0
beam_size = 3
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='cnnrnn_mm.CNNRNNHead', {HEAD},
        loss=dict(type='SequenceLoss', loss_weight=2.0),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=3)))
""",
    'nested prefixed names under mmpretrain': f"""
default_scope = 'mmpretrain'
loss_weight = 2.0
beam_size = 3
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='cnnrnn_mm.CNNRNNHead', {HEAD},
        loss=dict(type='cnnrnn_mm.SequenceLoss', loss_weight=2.0),
        postprocessor=dict(type='cnnrnn_mm.BeamSearchPostprocessor', beam_size=3)))
""",
    'custom_imports': f"""
custom_imports = dict(imports=['cnnrnn_mm.models'])
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier', {HOST_PARTS.format(prefix='')}
    head=dict(type='cnnrnn_mm.CNNRNNHead', {HEAD}))
""",
    'class object under mmpretrain': f"""
from cnnrnn_mm.models import CNNRNNHead, SequenceLoss
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, ResNet_CIFAR
default_scope = 'mmpretrain'
loss_weight = 2.0
model = dict(
    type=ImageClassifier,
    backbone=dict(type=ResNet_CIFAR, depth=18, base_channels=4, stem_channels=4),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=CNNRNNHead, {HEAD}, loss=dict(type=SequenceLoss, loss_weight=2.0)))
""",
}

OURS_FROM_THE_HOST = """
from mmengine import registry
init_default_scope('mmpretrain')
for node, name, module in (
    ('MODELS', 'Frozen', 'cnnrnn_mm.models.frozen'),
    ('MODELS', 'VGGFullyConnected', 'cnnrnn_mm.models.necks.vgg_fully_connected'),
    ('TRANSFORMS', 'OrderLabels', 'cnnrnn_mm.datasets.transforms.order_labels'),
    ('DATASETS', 'ReadableImages', 'cnnrnn_mm.datasets.readable_images'),
    ('METRICS', 'LabelSetMetric', 'cnnrnn_mm.evaluation.metrics.label_set_metric'),
    ('HOOKS', 'LabelOrderHook', 'cnnrnn_mm.engine.hooks.label_order_hook'),
    ('VISUALIZERS', 'LabelPathVisualizer', 'cnnrnn_mm.visualization.label_path_visualizer'),
):
    with getattr(registry, node).switch_scope_and_registry(None) as current:
        found = current.get(f'cnnrnn_mm.{name}')
        assert found is not None and found.__module__ == module, (node, name, found)
"""

HOST_S_FROM_OURS = """
from mmengine import registry
init_default_scope('cnnrnn_mm')
for node, name in (
    ('DATASETS', 'VOC'), ('DATASETS', 'ConcatDataset'), ('DATASETS', 'RepeatDataset'),
    ('DATA_SAMPLERS', 'DefaultSampler'), ('DATA_SAMPLERS', 'RepeatAugSampler'),
    ('TRANSFORMS', 'PackInputs'), ('TRANSFORMS', 'LoadImageFromFile'), ('TRANSFORMS', 'Resize'),
    ('METRICS', 'AveragePrecision'), ('METRICS', 'MultiLabelMetric'), ('EVALUATOR', 'Evaluator'),
    ('HOOKS', 'CheckpointHook'), ('HOOKS', 'VisualizationHook'), ('HOOKS', 'EMAHook'),
    ('VISUALIZERS', 'UniversalVisualizer'), ('VISBACKENDS', 'LocalVisBackend'),
    ('OPTIMIZERS', 'RMSprop'), ('OPTIMIZERS', 'Lamb'), ('OPTIM_WRAPPERS', 'OptimWrapper'),
    ('OPTIM_WRAPPERS', 'AmpOptimWrapper'),
    ('OPTIM_WRAPPER_CONSTRUCTORS', 'DefaultOptimWrapperConstructor'),
    ('OPTIM_WRAPPER_CONSTRUCTORS', 'LearningRateDecayOptimWrapperConstructor'),
    ('PARAM_SCHEDULERS', 'MultiStepLR'), ('WEIGHT_INITIALIZERS', 'Pretrained'),
    ('MODEL_WRAPPERS', 'MMDistributedDataParallel'), ('LOOPS', 'EpochBasedTrainLoop'),
    ('LOG_PROCESSORS', 'LogProcessor'), ('RUNNERS', 'Runner'),
    ('MODELS', 'ImageClassifier'), ('MODELS', 'ClsDataPreprocessor'),
    ('MODELS', 'MultiTaskHead'), ('MODELS', 'BaseTTAModel'),
):
    with getattr(registry, node).switch_scope_and_registry(None) as current:
        assert current.scope == 'cnnrnn_mm', (node, current.scope)
        assert current.get(name) is not None, (node, name)
"""


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    """What went wrong in each process; an empty text where all is well."""
    folder = tmp_path_factory.mktemp('ways')
    jobs = {'ours': (OURS_FROM_THE_HOST, ''), 'host': (HOST_S_FROM_OURS, '')}
    for index, (way, text) in enumerate(WAYS.items()):
        config = folder / f'config_{index}.py'
        config.write_text(text)
        code = BUILD_MODEL
        if 'import' in text:  # there the config itself imports our package
            code = code.replace('assert not any', 'any')
        jobs[way] = (code, str(config))
    results = {}
    for name, (code, argument) in jobs.items():
        script = folder / 'job.py'
        script.write_text(START + code)
        done = run_forked(script, argument)
        said = done.stdout + done.stderr
        failed = done.returncode != 0 or 'Failed to search registry' in said
        results[name] = (said or 'died') if failed else ''
    return results


@pytest.mark.parametrize('way', WAYS)
def test_model_is_built_however_it_is_named(way, outcomes):
    assert outcomes[way] == ''


def test_our_types_by_prefix_from_the_host_s_scope(outcomes):
    assert outcomes['ours'] == ''


def test_host_s_types_by_bare_names_in_our_scope(outcomes):
    assert outcomes['host'] == ''


@pytest.mark.parametrize('name', [name for name in registry.__all__ if name != 'SCOPE'])
def test_node_hangs_below_the_host_s(name):
    node = getattr(registry, name)
    parent = getattr(host, name)
    assert node.parent is parent and node.scope == 'cnnrnn_mm' and node.name == parent.name
    assert parent.children['cnnrnn_mm'] is node


def test_every_node_of_a_run_has_one():
    """A missing one logs 'Failed to search registry' in each run."""
    nodes = {
        name
        for name, node in vars(host).items()
        if isinstance(node, root.Registry) and node.scope == 'mmpretrain'
    }
    assert {'MODELS', 'HOOKS', 'PARAM_SCHEDULERS'} <= nodes
    assert nodes - {'TOKENIZER'} == set(registry.__all__) - {'SCOPE'}


def test_class_object_needs_no_scope():
    head = registry.MODELS.build(dict(type=CNNRNNHead, num_classes=3, in_channels=4))
    assert type(head) is CNNRNNHead


def test_our_types_do_not_fill_the_host_s_registry():
    """A bare name under the host's scope must not find ours by chance of an earlier import."""
    assert 'CNNRNNHead' in registry.MODELS.module_dict
    assert 'CNNRNNHead' not in host.MODELS.module_dict
    assert 'CNNRNNHead' not in root.MODELS.module_dict
