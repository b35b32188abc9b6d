# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Read a config and the options that change it, or say in one line what is wrong with them."""

import argparse
import difflib
import traceback
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from ..errors import UsageError

__all__ = ['ConfigOptions', 'read_config']


class ConfigOptions(DictAction):
    """MMEngine's action for ``--cfg-options``, which ends where one is not ``key=value``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """See argparse."""
        for text in values:
            if not text.partition('=')[0].strip() or '=' not in text:
                raise argparse.ArgumentError(
                    self, f'{text!r} is no key=value: write such as train_cfg.max_epochs=5'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, SyntaxError, IndexError) as error:
            raise argparse.ArgumentError(
                self, f'{" ".join(values)!r} can not be read ({error}): check brackets and quotes'
            ) from None


def read_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and merge options into it.

    Args:
        path: The file. It is Python and is run.
        options: Entries to override, by dotted key.

    Raises:
        UsageError: If the file is missing or fails, or an option does not fit.
    """
    if not Path(path).is_file():
        what = 'is a folder' if Path(path).is_dir() else 'does not exist'
        raise UsageError(f'config {path} {what}: check the path')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        raise UsageError(
            f'config {path}{_line(error, path)} can not be used ({type(error).__name__}: '
            f'{getattr(error, "msg", None) or error}): correct it'
        ) from error
    if options:
        _check_known(cfg, options)
        try:
            cfg.merge_from_dict(options)
        except (KeyError, TypeError, IndexError, ValueError, AssertionError, AttributeError) as no:
            given = ' '.join(f'{key}={value}' for key, value in options.items())
            raise UsageError(
                f'--cfg-options {given} do not fit {path} ({no}): check the keys'
            ) from no
    return cfg


def _line(error: Exception, path: str | Path) -> str:
    """Where in the file it happened, as far as that is known."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f', line {error.lineno}'
    places = traceback.extract_tb(error.__traceback__)
    lines = [one.lineno for one in places if Path(one.filename).name == Path(path).name]
    return f', line {lines[-1]}' if lines else ''


def _check_known(cfg: Config, options: dict[str, Any]) -> None:
    """An entry that is new may be meant, but not one that is nearly the name of another."""
    for key in options:
        first = key.partition('.')[0]
        near = difflib.get_close_matches(first, list(cfg.keys()), n=1, cutoff=0.75)
        if first not in cfg and near:
            raise UsageError(
                f'--cfg-options {key}=...: the config has no {first!r}: did you mean {near[0]!r}?'
            )
