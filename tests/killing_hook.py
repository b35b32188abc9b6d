# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A hook that kills a process of its run in the middle of an epoch."""

import multiprocessing
import os
import signal

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from cnnrnn_mm.registry import HOOKS


@HOOKS.register_module()
class KillingHook(Hook):
    """Send a signal after iteration ``batch`` of epoch ``epoch`` (from 0).

    To this process; with ``rank``, only if it has that rank; with ``worker=True``, to one of its
    data-loading workers.
    """

    def __init__(
        self,
        epoch: int,
        batch: int,
        rank: int = 0,
        worker: bool = False,
        sent: str = 'SIGKILL',
    ) -> None:
        self.epoch = epoch
        self.batch = batch
        self.rank = rank
        self.worker = worker
        self.sent = signal.Signals[sent]

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if (runner.epoch, batch_idx, get_rank()) == (self.epoch, self.batch, self.rank):
            worker = multiprocessing.active_children()[0] if self.worker else None
            os.kill(worker.pid if worker else os.getpid(), self.sent)
