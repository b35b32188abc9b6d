# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run by the environment's python, away from the source: is what is installed whole?

``python -I installed.py versions|types|imports``; each is a process of its own, as ``types`` has to
begin with nothing of cnnrnn_mm imported.
"""

import importlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ('torch', 'torchvision', 'numpy', 'mmcv-lite', 'mmengine', 'mmpretrain', 'setuptools')
#: One type of each kind, by the registry that a config's entry is built from.
TYPES = {
    'MODELS': 'CNNRNNHead',
    'TRANSFORMS': 'OrderLabels',
    'DATASETS': 'VOCMultiLabel',
    'METRICS': 'LabelSetMetric',
    'HOOKS': 'LabelOrderHook',
    'VISUALIZERS': 'LabelPathVisualizer',
}


def versions() -> dict:
    """Versions of what decides whether the package works."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {'python': platform.python_version(), **found}


def types() -> dict:
    """Every registered type is found by its prefix under MMPretrain's default scope."""
    from mmengine import registry as root
    from mmengine.registry import init_default_scope

    init_default_scope('mmpretrain')
    assert not any(name.startswith('cnnrnn_mm') for name in sys.modules), 'imported too early'

    def find(kind: str, name: str) -> type | None:
        # As build() does, which starts at the root and goes to the default scope's node.
        with getattr(root, kind).switch_scope_and_registry(None) as registry:
            return registry.get(f'cnnrnn_mm.{name}')

    for kind, name in TYPES.items():
        assert find(kind, name) is not None, f'no {name} in {kind}'
    ours = importlib.import_module('cnnrnn_mm.registry')
    count = 0
    for kind in ours.__all__:
        if kind == 'SCOPE':
            continue
        for name, expected in getattr(ours, kind).module_dict.items():
            found = find(kind, name)
            assert found is expected, f'{kind}: cnnrnn_mm.{name} is {found}'
            count += 1
    assert count > len(TYPES), 'nothing else is registered'
    return {'types': count}


def imports() -> dict:
    """Every module imports, every name of every ``__all__`` is there, from the installed wheel."""
    package = importlib.import_module('cnnrnn_mm')
    folder = Path(package.__file__).resolve().parent
    assert Path(sys.prefix).resolve() in folder.parents, f'imported from {folder}'
    files = [path for path in folder.rglob('*.py') if '.mim' not in path.parts]
    names = 0
    for path in sorted(files):
        parts = path.relative_to(folder.parent).with_suffix('').parts
        module = importlib.import_module('.'.join(p for p in parts if p != '__init__'))
        for name in getattr(module, '__all__', ()):
            assert hasattr(module, name), f'{module.__name__} has no {name}'
            names += 1
    assert files and names, f'{folder} holds no modules'
    version = metadata.version('cnnrnn_mm')
    assert package.__version__ == version, f'{package.__version__} is installed as {version}'
    return {'modules': len(files), 'names': names, 'folder': str(folder)}


if __name__ == '__main__':
    result = {'versions': versions, 'types': types, 'imports': imports}[sys.argv[1]]()
    print(json.dumps(result))
