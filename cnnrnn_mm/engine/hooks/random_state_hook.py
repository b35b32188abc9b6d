# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Random states in the checkpoint, so that a resumed run is the run it resumes."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from .worker_seeds import WorkerSeeds

__all__ = ['RandomStateHook']


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Store and restore the random states of every rank (dropout, augmentation in the process).

    A run that is killed and resumed from its last checkpoint then draws what it would have drawn.
    Two things would break that, and are kept away from the training stream: validation (its draws
    are undone) and the start of data-loading workers (they get a generator of their own). Workers
    are seeded anew at each epoch, see :class:`WorkerSeeds`.
    """

    # Captures before the checkpoint is written.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._ranks: list[dict] | None = None
        self._sampler_seed: int | None = None
        self._resumed: dict | None = None
        self._before_val: dict | None = None
        self._workers: WorkerSeeds | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the states of a run that is resumed."""
        if runner._resume:  # the host offers no public way to ask
            self._resumed = checkpoint.get('random_state')
            if self._resumed:  # for a checkpoint that is saved again before the next epoch
                self._ranks = self._resumed['ranks']

    def before_train(self, runner: Runner) -> None:
        """Part the workers' seeds from the training stream; restore the sampler's seed."""
        loader = runner.train_dataloader
        loader.generator = torch.Generator().manual_seed((runner.seed or 0) + get_rank())
        if hasattr(loader.sampler, 'seed'):
            if self._resumed:
                loader.sampler.seed = self._resumed['sampler_seed']
            self._sampler_seed = loader.sampler.seed
        seed = self._sampler_seed if self._sampler_seed is not None else runner.seed or 0
        self._workers = WorkerSeeds(loader, seed, get_rank())

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the workers; continue the stored streams, once."""
        if self._workers is not None:
            self._workers.begin_epoch(runner.epoch)
        resumed, self._resumed = self._resumed, None
        if not resumed:
            return
        states = resumed['ranks']
        if len(states) != get_world_size():
            runner.logger.warning(
                'The checkpoint holds the random states of %d processes, this run has %d: the '
                'states are not restored.',
                len(states),
                get_world_size(),
            )
            return
        restore(states[get_rank()])

    def after_train_epoch(self, runner: Runner) -> None:
        """Capture what an epoch's checkpoint stores."""
        self._capture()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Capture what an iteration's checkpoint stores, if one is due."""
        if any(
            isinstance(hook, CheckpointHook)
            and not hook.by_epoch
            and hook.every_n_train_iters(runner, hook.interval)
            for hook in runner.hooks
        ):
            self._capture()

    def before_val(self, runner: Runner) -> None:
        """Remember the training stream."""
        self._before_val = capture()

    def after_val(self, runner: Runner) -> None:
        """Undo the draws of validation."""
        if self._before_val is not None:
            restore(self._before_val)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store; the host calls this on rank 0 alone, therefore the states were gathered before."""
        if self._ranks is not None:
            checkpoint['random_state'] = {
                'ranks': self._ranks,
                'sampler_seed': self._sampler_seed,
            }

    def _capture(self) -> None:
        self._ranks = all_gather_object(capture())


def capture() -> dict:
    """The states of this process's generators, as plain types and tensors."""
    state: Any = np.random.get_state()  # the legacy tuple
    name, keys, position, has_gauss, cached = state
    version, words, gauss_next = random.getstate()
    return {
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        'numpy': [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        'python': [version, list(words), gauss_next],
    }


def restore(states: dict) -> None:
    """Put back what :func:`capture` gave."""
    torch.set_rng_state(states['torch'].cpu())
    if states['cuda'] and len(states['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states['cuda']])
    name, keys, position, has_gauss, cached = states['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, words, gauss_next = states['python']
    random.setstate((version, tuple(words), gauss_next))
