# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The config that a checkpoint carries, read without running it."""

import ast
import math
from typing import Any

from mmengine.config import Config

from ..errors import UsageError

__all__ = ['read_literal_config']

#: Names that stand for values in what ``Config.pretty_text`` writes.
NAMES = {'inf': math.inf, 'nan': math.nan}


def read_literal_config(text: str, origin: str) -> Config:
    """Read what ``Config.pretty_text`` wrote: assignments of literals, ``dict(...)`` among them.

    ``Config.fromstring`` would run the text as Python; a checkpoint of unknown origin could then do
    whatever it likes, although its weights load with ``weights_only=True``.

    Args:
        text: The config's text.
        origin: Where it comes from, for messages.

    Raises:
        UsageError: If the text is no Python, or holds anything but assignments of literals.
    """
    try:
        body = ast.parse(text).body
        values = {}
        for statement in body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise ValueError(ast.unparse(statement))
            target = statement.targets[0]
            if not isinstance(target, ast.Name):
                raise ValueError(ast.unparse(statement))
            values[target.id] = _value(statement.value)
        return Config(values)
    except (
        SyntaxError,
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        RecursionError,
        MemoryError,
    ) as error:
        line = str(error).strip().splitlines()[0][:80] if str(error).strip() else 'no text'
        raise UsageError(
            f'the config inside {origin} is not made of plain values ({line}): give the config '
            'file itself with --config'
        ) from None


def _value(node: ast.expr | None) -> Any:
    """The value of a literal; raises ``ValueError`` on anything else."""
    if isinstance(node, ast.Call):
        return _dict(node)
    if isinstance(node, ast.Dict):
        return {
            _value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)
        }
    if isinstance(node, ast.List):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(one) for one in node.elts)
    if isinstance(node, ast.Set):
        return {_value(one) for one in node.elts}
    if isinstance(node, ast.Name) and node.id in NAMES:
        return NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if node is None:  # ** in a dict
        raise ValueError('**')
    return ast.literal_eval(node)


def _dict(node: ast.Call) -> dict | set:
    """``dict(a=1)``, ``dict({'a.b': 1})``, and ``set()``."""
    name = node.func.id if isinstance(node.func, ast.Name) else ''
    if name == 'set' and not node.args and not node.keywords:
        return set()
    if name != 'dict' or len(node.args) > 1 or any(one.arg is None for one in node.keywords):
        raise ValueError(ast.unparse(node))
    start = _value(node.args[0]) if node.args else {}
    return {**start, **{one.arg: _value(one.value) for one in node.keywords}}
