# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Makes this project's models known to ``mmpretrain.get_model`` and ``mmpretrain.list_models``.

Importing MMPretrain takes seconds, and importing this package should not; so where MMPretrain has
not been imported yet, its hub is told when it is.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ['find_model_index', 'register_models']

HUB_MODULE = 'mmpretrain.apis.model'


def find_model_index() -> Path | None:
    """``model-index.yml`` with ``configs/`` beside it: of an install, else of the checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / '.mim', package.parent):
        index = folder / 'model-index.yml'
        if index.is_file() and (folder / 'configs').is_dir():
            return index
    return None


def register_models() -> None:
    """Tell the host's ``ModelHub`` of the models, now or as soon as it is imported; once."""
    module = sys.modules.get(HUB_MODULE)
    if module is not None and hasattr(module, 'ModelHub'):
        _register(module.ModelHub)
    elif not any(isinstance(finder, _HubWatcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _HubWatcher())


def _register(hub: Any) -> None:
    index = find_model_index()
    if index is None:
        return
    # The host raises an error for a name that it knows; each config has an entry of its name.
    names = [path.stem for path in (index.parent / 'configs').glob('*.py')]
    if not any(hub.has(name) for name in names):
        hub.register_model_index(index)


class _HubWatcher(MetaPathFinder):
    """Waits for the module of the host's hub, which others find and load as ever."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Leave every module to the finders behind, but look at what they make of the hub's."""
        if fullname != HUB_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                _register(module.ModelHub)

            loader.exec_module = execute_and_register
        return spec
