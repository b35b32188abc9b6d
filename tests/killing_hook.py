# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A hook that kills its own process in the middle of an epoch."""

import os
import signal

from mmengine.hooks import Hook

from cnnrnn_mm.registry import HOOKS


@HOOKS.register_module()
class KillingHook(Hook):
    """Send SIGKILL to this process after iteration ``batch`` of epoch ``epoch`` (from 0)."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch = epoch
        self.batch = batch

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if (runner.epoch, batch_idx) == (self.epoch, self.batch):
            os.kill(os.getpid(), signal.SIGKILL)
