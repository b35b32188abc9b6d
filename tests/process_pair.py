# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Several gloo processes on this machine, each a fork of the server of ``forked_tool``."""

import socket
from pathlib import Path

from forked_tool import ForkedTool


def free_port() -> str:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return str(one.getsockname()[1])


def run_processes(script: Path, *args: object, cwd: Path | None = None, count: int = 2) -> list:
    """Run a script in ``count`` processes with torchrun's variables; what each printed.

    Raises:
        AssertionError: If one fails; with what it printed.
    """
    port = free_port()
    runs = [
        ForkedTool(
            script,
            *args,
            cwd=cwd,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(count),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=port,
        )
        for rank in range(count)
    ]
    found = [run.finish() for run in runs]
    for done in found:
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return found
