# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the server of ``forked_tool`` has done when its first fork starts."""

import importlib

from mmengine.config import Config
from quick_host import make_host_quick

#: Libraries alone, and none whose classes are found through a registry.
LIBRARIES = (
    'matplotlib.pyplot',
    'mmcv.cnn',
    'mmcv.transforms',
    'mmengine.evaluator',
    'mmengine.runner',
    'mmengine.visualization',
    'rich.console',
    'rich.table',
    'scipy.optimize',
    'scipy.sparse.csgraph',
    'torchvision',
)

for name in LIBRARIES:
    importlib.import_module(name)
make_host_quick()
Config._get_cfg_path('mmpretrain::_base_/default_runtime.py', '')  # reads MMPretrain's lists
