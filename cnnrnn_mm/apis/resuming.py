# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Where a training that is to be resumed goes on."""

import re
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from .checkpoints import check_checkpoint

__all__ = ['set_start']

#: Checkpoints of a run that are no best ones.
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def set_start(cfg: Config, resume: str | None) -> str | None:
    """Set ``resume`` and ``load_from`` of a training's config, and look at the checkpoint.

    With nothing to resume from, the training starts as it would without ``--resume``: also with the
    weights of ``load_from``, which the host's tool drops. A folder whose ``last_checkpoint`` is
    missing goes on from the checkpoint with the highest number.

    Args:
        cfg: With ``work_dir``; changed in place.
        resume: What ``--resume`` says: a path, ``'auto'`` for the last one in the work dir, None to
            leave it to the config.

    Returns:
        What the user has to know; None if all is as asked.

    Raises:
        UsageError: If the checkpoint is not there, not whole, or not safe to load.
    """
    given = cfg.get('load_from') if resume is None else None
    if resume is not None:
        cfg.resume = True
        given = None if resume == 'auto' else resume
    line = None
    if cfg.get('resume') and given is None:
        given, line = _newest(cfg.work_dir)
        cfg.resume = given is not None
    if given is not None:
        cfg.load_from = given
    start = cfg.get('load_from')
    # A folder is DeepSpeed's or another engine's, whose strategy reads it.
    engines = cfg.get('runner_type') == 'FlexibleRunner'
    if start is not None and not (engines and Path(start).is_dir()):
        check_checkpoint(start)
    if line is not None and not cfg.resume:
        weights = f', with the weights of {cfg.load_from}' if cfg.get('load_from') else ''
        line = f'{line}: this training starts at the beginning{weights}'
    return line


def _newest(work_dir: str) -> tuple[str | None, str | None]:
    """The checkpoint to go on from, and what is odd about it."""
    folder = Path(work_dir)
    if (folder / 'last_checkpoint').is_file():
        return find_latest_checkpoint(work_dir), None
    named = ((one, NUMBERED.fullmatch(one.name)) for one in folder.glob('*.pth'))
    found = {one: int(match[1]) for one, match in named if match is not None}
    if not found:
        return None, f'nothing to resume: {work_dir} holds no checkpoint'
    newest = str(max(found, key=found.__getitem__))
    return newest, f'{work_dir} has no file last_checkpoint: resuming from {newest}'
