# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a config has to do with an exception of the host's."""

import traceback
from typing import Any

from mmengine.registry import build_from_cfg
from mmengine.runner import Runner

from ..datasets.label_checks import suggestion

__all__ = ['explain_config_error']

#: Most characters of a value, of all values and of a reason that are shown.
VALUE, VALUES, WHY = 80, 240, 160
#: Methods of the Runner that build something are named so.
BUILDS = 'build_'
RUNNER_CODES = (Runner.from_cfg.__func__.__code__, Runner.__init__.__code__)


def explain_config_error(error: BaseException) -> str | None:
    """One line about an exception that came up while an object was built from a config.

    MMEngine builds everything in one function, so its frame in the traceback tells that the config
    is the cause, and which entry of it.

    Args:
        error: What was raised.

    Returns:
        The line; None if nothing was being built.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    why = _cut(f'{type(error).__name__}: {error}'.strip().splitlines()[0], WHY)
    for frame in reversed(frames):
        if frame.f_code is build_from_cfg.__code__:
            return _explain_build(frame.f_locals, why)
        code = frame.f_code
        if code.co_name.startswith(BUILDS) and code is _method_code(code.co_name):
            value = frame.f_locals.get(code.co_varnames[1])
            return (
                f'{code.co_name.removeprefix(BUILDS)} of the config, {_short(value)}, can not be '
                f'built ({why}): check it'
            )
    if any(frame.f_code in RUNNER_CODES for frame in frames):
        return f'the config can not be used ({why}): correct the entry'
    return None


def _method_code(name: str) -> object:
    return getattr(getattr(Runner, name, None), '__code__', None)


def _explain_build(known: dict[str, Any], why: str) -> str:
    """From the local names of MMEngine's ``build_from_cfg``."""
    cfg, kind = known.get('cfg'), known.get('obj_type')
    registry: Any = known.get('registry')
    if kind is None:
        if isinstance(cfg, dict):
            return f"an entry of the config has no 'type': {_arguments(cfg)}: add it"
        return f'{_short(cfg)} stands in the config where a dict with a type is needed: write one'
    if isinstance(kind, str) and known.get('obj_cls') is None:
        bare = kind.rpartition('.')[2]
        return (
            f"the config has type='{kind}', which {registry.scope}::{registry.name} does not know: "
            f'{suggestion(bare, _names(registry))}'
        )
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
    given: Any = known.get('args') or cfg  # with what the object around it hands on
    arguments = _arguments({key: given[key] for key in given if key not in ('type', '_scope_')})
    return f'{name}({arguments}) of the config can not be built ({why}): check its arguments'


def _names(registry: Any) -> list[str]:
    """All names in a registry, its parents and its children."""
    root = registry
    while root.parent is not None:
        root = root.parent
    names, open_ones = set(), [root]
    while open_ones:
        one = open_ones.pop()
        names.update(one.module_dict)
        open_ones.extend(one.children.values())
    return sorted(names)


def _arguments(cfg: dict) -> str:
    """``a=1, b='x'``, the short ones first, cut off where there are many."""
    shown = sorted((f'{key}={_short(value)}' for key, value in cfg.items()), key=len)
    return _cut(', '.join(shown), VALUES)


def _short(value: object) -> str:
    return _cut(repr(value), VALUE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f'{text[: most - 3]}...'
