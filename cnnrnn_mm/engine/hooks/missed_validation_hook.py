# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The validation between a checkpoint and the end of the run that wrote it."""

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ...registry import HOOKS

__all__ = ['MissedValidationHook']

#: Key of the message hub: the epoch (or iteration) whose validation the state includes. Not one
#: that begins with val, which the host would log.
VALIDATED = 'last_validated'


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Let a resumed run begin with the validation that its checkpoint lacks.

    The host saves an epoch's checkpoint before it validates, and a resumed run goes on with the
    next epoch: a validation that a kill has cut off would never be run, the best checkpoint could
    be missed, and a scheduler that follows a metric would lose a step. Even if it did run, what it
    changed is not in that checkpoint. Here it is run on the restored state, as the uninterrupted
    run did. A checkpoint that was saved again after validation (``save_best``) tells so, and its
    validation is not repeated.
    """

    # After all others have prepared the training.
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Validate, if that is what the resumed run would have done next."""
        if not runner._resume or runner.val_loop is None:  # the host has no public way to ask
            return
        loop = runner.train_loop
        if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            return
        step = _step(loop)
        done = runner.message_hub.runtime_info.get(VALIDATED)
        if step == 0 or step < loop.val_begin or done == step:
            return
        loop._decide_current_val_interval()
        if step % loop.val_interval == 0 or step == _last(loop):
            runner.logger.info(f'The checkpoint has no validation of step {step}: it is run now')
            runner.val_loop.run()

    def before_val(self, runner: Runner) -> None:
        """Mark the state; if a checkpoint is saved before the next one, then after validation."""
        loop = runner._train_loop
        if isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            runner.message_hub.update_info(VALIDATED, _step(loop))


def _step(loop: EpochBasedTrainLoop | IterBasedTrainLoop) -> int:
    """Epochs or iterations done, whichever the loop counts its validations in."""
    return loop.iter if isinstance(loop, IterBasedTrainLoop) else loop.epoch


def _last(loop: EpochBasedTrainLoop | IterBasedTrainLoop) -> int:
    return loop.max_iters if isinstance(loop, IterBasedTrainLoop) else loop.max_epochs
