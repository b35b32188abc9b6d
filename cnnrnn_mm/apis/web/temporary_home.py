# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One folder for everything that the page's process writes."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import UsageError

__all__ = ['temporary_home']

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Read when Gradio is imported, or each time it needs a value.
SETTINGS = {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    'GRADIO_RUN_HISTORY': 'False',
    'GRADIO_MCP_SERVER': 'False',
    'GRADIO_NUM_WORKERS': '0',
    'HF_HUB_DISABLE_TELEMETRY': '1',
    'HF_HUB_OFFLINE': '1',
}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that holds uploads and whatever libraries write, and is removed at the end.

    The end may be an exception or a signal that ends the process: Ctrl-C, SIGTERM or SIGHUP. Gradio
    has to be imported inside, since it reads then where it may write. While
    it lasts, the variables of the process's environment that say where libraries write, and
    ``tempfile``'s default, point into the folder.

    Yields:
        The folder, which only this user can enter.

    Raises:
        UsageError: If there is no place for a temporary folder.
    """
    before, tempfile.tempdir = tempfile.tempdir, None  # TMPDIR may have been set since
    try:
        holder = tempfile.TemporaryDirectory(prefix='cnnrnn_web_', ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(
            f'no temporary folder can be made ({error}): set TMPDIR to a folder that can be written'
        ) from None
    with holder as name, _removed_by_signals(holder):
        places = {
            'GRADIO_TEMP_DIR': f'{name}/uploads',
            'MPLCONFIGDIR': f'{name}/matplotlib',
            'HF_HOME': f'{name}/hub',
            'TORCH_HOME': f'{name}/torch',
            'TMPDIR': name,
        }
        for place in places.values():
            Path(place).mkdir(exist_ok=True)
        variables = {**SETTINGS, **places}
        kept = {key: os.environ.get(key) for key in variables}
        os.environ.update(variables)
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
            for key, value in kept.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value


@contextmanager
def _removed_by_signals(holder: tempfile.TemporaryDirectory) -> Iterator[None]:
    """Remove the folder when a signal ends the process.

    An exception that a handler raises is lost where it meets a ``__del__``, and the process goes
    on; so the handler does it all. Handlers that a server installs meanwhile come first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        holder.cleanup()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
