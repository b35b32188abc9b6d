# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A training that tells another process what it is doing."""

import os
import time

from mmengine.hooks import Hook

from cnnrnn_mm.registry import HOOKS

from .small_training import MOMENTS

__all__ = ['PHASES', 'MomentHook']

PHASES = ('loading', 'training', 'saving', 'validation')


@HOOKS.register_module()
class MomentHook(Hook):
    """Write a line ``phase epoch iteration seconds`` to a pipe at each change; counts are from 1.

    The phases are loading (waiting for the next batch), training (a step), saving (from the moment
    a checkpoint is put together until it is in place) and validation.
    """

    priority = 'LOWEST'

    def _tell(self, phase: str, epoch: int, iteration: int) -> None:
        line = f'{phase} {epoch} {iteration} {time.monotonic()}\n'
        os.write(int(os.environ[MOMENTS]), line.encode())

    def before_train_epoch(self, runner) -> None:
        """The first batch is awaited."""
        self._tell('loading', runner.epoch + 1, 1)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """A step begins."""
        self._tell('training', runner.epoch + 1, batch_idx + 1)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """The next batch is awaited."""
        self._tell('loading', runner.epoch + 1, batch_idx + 2)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """A checkpoint is put together."""
        self._tell('saving', checkpoint['meta']['epoch'], 0)

    def before_val_epoch(self, runner) -> None:
        """Validation begins."""
        self._tell('validation', runner.epoch, 0)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """The next batch of validation begins."""
        self._tell('validation', runner.epoch, batch_idx + 1)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Validation, and what it saves, is done."""
        self._tell('loading', runner.epoch + 1, 0)

    def after_train(self, runner) -> None:
        """All is done."""
        self._tell('end', runner.epoch, 0)
