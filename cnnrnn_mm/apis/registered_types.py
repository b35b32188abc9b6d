# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Types that a config from an untrusted file may name."""

from collections.abc import Iterator
from typing import Any

import mmengine.registry
from mmengine.registry import Registry

from .. import registry as _ours  # noqa: F401 - so that our registries are children of the host's
from ..errors import UsageError

__all__ = ['check_registered_types', 'registered_names']


def registered_names() -> tuple[set[str], set[str]]:
    """The scopes that there are, and the names of all that is registered in any of them."""
    found = [
        one
        for root in vars(mmengine.registry).values()
        if isinstance(root, Registry)
        for one in _with_children(root)
    ]
    return {'', *(one.scope for one in found)}, {name for one in found for name in one.module_dict}


def check_registered_types(config: Any, origin: str) -> None:
    """Raise ``UsageError`` if a config names a type that no registry has.

    A registry imports what an unknown dotted name points to, whatever that is, and the builder
    calls it: ``type='os.system'`` would run a command.

    Args:
        config: Dicts, lists and plain values.
        origin: Where it comes from, for messages.
    """
    scopes, names = registered_names()
    stack = [config]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            for key in ('type', '_scope_'):
                value = one.get(key)
                if value is not None and not _known(value, key, scopes, names):
                    raise UsageError(
                        f'the config inside {origin} has {key}={value!r}, which nothing here is '
                        'registered as: give the config file itself with --config if you trust it'
                    )
            stack.extend(one.values())
        elif isinstance(one, (list, tuple)):
            stack.extend(one)


def _known(value: Any, key: str, scopes: set[str], names: set[str]) -> bool:
    if not isinstance(value, str):
        return False
    if key == '_scope_':
        return value in scopes
    scope, _, name = value.rpartition('.')
    return scope in scopes and name in names


def _with_children(one: Registry) -> Iterator[Registry]:
    one.import_from_location()
    yield one
    for child in one.children.values():
        yield from _with_children(child)
