# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Spares small runs most of their time, which MMEngine spends on what no test is about."""

import ast
import functools
from typing import Any

from mmengine.config import config, utils


def make_host_quick() -> None:
    """Change MMEngine in this process.

    It lays the config out with yapf several times a run: here the text stays as it comes, and only
    its syntax is checked, as yapf does. For each config that builds on one of MMPretrain's it reads
    the descriptions of all of that package's models: here once.
    """
    config.FormatCode = _check_syntax
    config.is_installed = functools.cache(config.is_installed)
    utils.load = functools.cache(utils.load)


def _check_syntax(text: str, **_: Any) -> tuple[str, bool]:
    ast.parse(text)
    return text, False
