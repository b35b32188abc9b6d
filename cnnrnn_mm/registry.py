# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Registry nodes of cnnrnn_mm.

Each node is a child of MMPretrain's node of the same name, not of MMEngine's root. A lookup climbs
from child to parent, so with this parent every way of naming a type works, whichever default scope
a config has: ``cnnrnn_mm.CNNRNNHead`` from the host's scope, ``_scope_='cnnrnn_mm'`` on one entry,
or bare names everywhere under ``default_scope = 'cnnrnn_mm'``.

A lookup imports the ``locations`` of the node it starts at and never those of a parent, therefore
each node names the host's location before its own.
"""

from mmengine.registry import Registry
from mmpretrain import registry as host

__all__ = [
    'BATCH_AUGMENTS',
    'DATASETS',
    'DATA_SAMPLERS',
    'EVALUATORS',
    'HOOKS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'RUNNER_CONSTRUCTORS',
    'SCOPE',
    'TASK_UTILS',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
]

SCOPE = 'cnnrnn_mm'


def _child(parent: Registry, package: str) -> Registry:
    """Make this project's node below ``parent``; ``package`` holds the types of both."""
    return Registry(
        parent.name,
        parent=parent,
        scope=SCOPE,
        locations=[f'mmpretrain.{package}', f'cnnrnn_mm.{package}'],
    )


RUNNERS = _child(host.RUNNERS, 'engine')
RUNNER_CONSTRUCTORS = _child(host.RUNNER_CONSTRUCTORS, 'engine')
LOOPS = _child(host.LOOPS, 'engine')
HOOKS = _child(host.HOOKS, 'engine')
LOG_PROCESSORS = _child(host.LOG_PROCESSORS, 'engine')
OPTIMIZERS = _child(host.OPTIMIZERS, 'engine')
OPTIM_WRAPPERS = _child(host.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(host.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
PARAM_SCHEDULERS = _child(host.PARAM_SCHEDULERS, 'engine')

DATASETS = _child(host.DATASETS, 'datasets')
DATA_SAMPLERS = _child(host.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child(host.TRANSFORMS, 'datasets')

MODELS = _child(host.MODELS, 'models')
MODEL_WRAPPERS = _child(host.MODEL_WRAPPERS, 'models')
WEIGHT_INITIALIZERS = _child(host.WEIGHT_INITIALIZERS, 'models')
TASK_UTILS = _child(host.TASK_UTILS, 'models')
BATCH_AUGMENTS = _child(host.BATCH_AUGMENTS, 'models')

METRICS = _child(host.METRICS, 'evaluation')
EVALUATORS = _child(host.EVALUATORS, 'evaluation')

VISUALIZERS = _child(host.VISUALIZERS, 'visualization')
VISBACKENDS = _child(host.VISBACKENDS, 'visualization')
