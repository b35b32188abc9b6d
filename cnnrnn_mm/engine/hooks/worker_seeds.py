# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Random augmentation in data-loading workers that depends on the epoch alone."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, get_worker_info

from .dataset_parts import dataset_parts

__all__ = ['WorkerSeeds']

#: Methods of datasets; the second is of the host's MultiTaskDataset, which lacks the first.
FIRST_STEPS = ('get_data_info', 'pipeline')


class WorkerSeeds:
    """Seeds the generators of each data-loading worker at the beginning of each epoch.

    The host seeds a worker when it starts. One that lives on (``persistent_workers``) then draws on
    from epoch to epoch, which a resumed run can't repeat; others draw the same numbers in each
    epoch. Here an epoch's numbers follow from the seed, the epoch, the process and the worker.

    Args:
        loader: The training dataloader, before its workers start; changed in place.
        seed: Of the run; the same when it is resumed.
        rank: Of the process.
    """

    def __init__(self, loader: DataLoader, seed: int, rank: int) -> None:
        self.seed, self.rank = seed, rank
        self._start: Callable[[int], object] | None = loader.worker_init_fn
        # Memory that workers share, which is how those that live on learn of the epoch.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._seeded: int | None = None
        loader.worker_init_fn = self

    def begin_epoch(self, epoch: int) -> None:
        """Tell the workers, before they are asked for the epoch's first image."""
        self._epoch.fill_(epoch)

    def __call__(self, worker: int) -> None:
        """In a worker that starts: let its datasets look for a new epoch."""
        if self._start is not None:
            self._start(worker)
        info: Any = get_worker_info()
        for part in dataset_parts(info.dataset):
            # The first step to an image, before anything can be drawn.
            first = next((name for name in FIRST_STEPS if hasattr(part, name)), None)
            if first is not None:
                setattr(part, first, partial(self._after_look, getattr(part, first)))

    def look(self) -> None:
        """In a worker: seed its generators if an epoch has begun."""
        epoch = int(self._epoch)
        if epoch == self._seeded:
            return
        self._seeded = epoch
        info: Any = get_worker_info()
        source = np.random.SeedSequence([self.seed, epoch, self.rank, info.id])
        words = source.generate_state(8)
        np.random.seed(words)
        random.seed(words.tobytes())
        torch.manual_seed(int(words.view(np.uint64)[0]) >> 1)

    def _after_look(self, step: Callable, *args: Any) -> Any:
        self.look()
        return step(*args)
