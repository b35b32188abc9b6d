# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Checkpoints that are whole or absent, whatever ends the run."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from ...errors import UsageError
from ...registry import HOOKS
from .atomic_saves import LAST, AtomicSaves, LateRemovals, leftovers, remove

__all__ = ['AtomicCheckpointHook']

SAVE_ERRORS = ('stop', 'warn')
#: Key of the message hub: names of the files that the newest checkpoint outdates.
OUTDATED = 'outdated_ckpts'
#: What the host's hook knows about the checkpoints; put back when one could not be saved.
KNOWN = ('keep_ckpt_ids', 'last_ckpt', 'best_ckpt_path', 'best_ckpt_path_dict')


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """The host's ``CheckpointHook`` with all its options, safe against kills and full disks.

    A checkpoint is written under another name (``.epoch_3.pth.saving``) beside its own, brought to
    the disk and renamed; then ``last_checkpoint`` is replaced in the same way; only then are the
    checkpoints removed that this one outdates, by number or as the best. Each moment between leaves
    a whole checkpoint that ``last_checkpoint`` names. What a killed save leaves behind is removed
    when the next run starts in the folder.

    This holds for local folders; elsewhere (``s3://...``) the hook is the host's. The files that
    ``published_keys`` writes after the training are the host's, too.

    Args:
        *args: The host's options.
        save_error: If a checkpoint can not be written, for example because the disk is full:
            ``'stop'`` ends the run with one line, ``'warn'`` goes on without this checkpoint.
            Either way the one before stays, and nothing half-written.
        **options: The host's options.

    Raises:
        UsageError: In training, if a checkpoint can not be written and ``save_error='stop'``.
    """

    file_backend: Any

    def __init__(self, *args: Any, save_error: str = 'stop', **options: Any) -> None:
        if save_error not in SAVE_ERRORS:
            raise UsageError(f"save_error is '{save_error}': set it to 'stop' or 'warn'")
        super().__init__(*args, **options)
        self.save_error = save_error
        self._removals: LateRemovals | None = None
        self._saves: AtomicSaves | None = None  # while one is under way

    def before_train(self, runner: Runner) -> None:
        """Tidy up after a run that was killed while it saved."""
        super().before_train(runner)
        if type(self.file_backend) is not LocalBackend:
            return
        self.file_backend = self._removals = LateRemovals()
        known = runner.message_hub.runtime_info
        if runner._resume:  # else the host would not save again what a first validation changes
            self.last_ckpt = known.get('last_ckpt')
        if not is_main_process():
            return
        left = {*leftovers(self.out_dir), *leftovers(runner.work_dir)}
        outdated = [Path(self.out_dir, name) for name in known.get(OUTDATED, ())]
        for path in (*sorted(left), *outdated):
            if path.exists():
                runner.logger.info(f'Removed {path}, which a killed run has left behind')
                remove(path)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save one, name it in ``last_checkpoint``, remove what it outdates."""
        if self._removals is None:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        with self._saving(runner, self._removals) as saves:
            saves.stage_last()
            super()._save_checkpoint_with_step(saves, step, meta)
            saves.name_last()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best one, and the last one again, before the best until now is removed."""
        if self._removals is None:
            super()._save_best_checkpoint(runner, metrics)
            return
        with self._saving(runner, self._removals) as saves:
            super()._save_best_checkpoint(saves, metrics)

    @contextmanager
    def _saving(self, runner: Runner, removals: LateRemovals) -> Iterator[AtomicSaves]:
        """Carry out the removals at the end, or put everything back if a file can't be written."""
        if self._saves is not None:  # the last one, saved again after the best
            yield self._saves
            return
        infos, known = runner.message_hub.runtime_info, self._known()
        self._saves = AtomicSaves(runner, lambda: _store_outdated(runner, removals))
        try:
            yield self._saves
        except OSError as error:
            _put_back(runner.message_hub, infos)
            self.__dict__.update(known)
            self._report(runner, error)
        else:
            if is_main_process():
                removals.carry_out(self._saves.written)
        finally:
            removals.pending.clear()
            self._saves.clear_stage()
            self._saves = None

    def _known(self) -> dict[str, Any]:
        return {name: copy.copy(vars(self)[name]) for name in KNOWN if name in vars(self)}

    def _report(self, runner: Runner, error: OSError) -> None:
        """End the run with one line, or go on with a warning."""
        last = Path(runner.work_dir, LAST)
        whole = f'{last.read_text().strip()} is whole' if last.is_file() else 'there is none before'
        line = (
            f'can not save a checkpoint in {self.out_dir} ({error.strerror or error}); {whole}: '
            'free some space there, then continue with --resume'
        )
        if self.save_error == 'stop':
            raise UsageError(line) from error
        runner.logger.warning(f'{line}; this run goes on without it')


def _store_outdated(runner: Runner, removals: LateRemovals) -> None:
    """Let the next checkpoint tell what it outdates, should the removal be cut off."""
    runner.message_hub.update_info(OUTDATED, [path.name for path in removals.pending])


def _put_back(hub: MessageHub, infos: dict[str, Any]) -> None:
    """Undo what has changed in the hub's information since it was ``infos``."""
    for key, value in hub.runtime_info.items():
        if key not in infos:
            hub.pop_info(key)
        elif value != infos[key]:
            hub.update_info(key, infos[key])
