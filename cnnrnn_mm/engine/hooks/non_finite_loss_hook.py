# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What happens when a loss or a gradient is NaN or infinite."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _NormBase

from ...errors import UsageError
from ...registry import HOOKS
from .bad_batch import describe_batch, describe_losses, save_batch

__all__ = ['NonFiniteLossHook']

ACTIONS = ('stop', 'skip')
FOLDER = 'bad_batches'
#: Key of the message hub: steps left out so far, resumed runs included.
SKIPPED = 'skipped_steps'
MOST_SAVED = 10


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Name the batch and keep its step away from the weights.

    Losses and gradients are looked at after the backward pass and before the optimizer's step, so
    weights, momenta and the running statistics of batch normalisation stay as they were. With
    several processes all leave the step out together. With accumulated gradients, all batches of
    the step are left out. Under mixed precision, gradients that only the loss scale makes infinite
    are the scaler's business and neither stop nor count.

    Args:
        action: ``'stop'`` ends the run with one line; ``'skip'`` leaves the step out, warns, and
            counts in the message hub under ``skipped_steps``.
        most_in_a_row: With ``'skip'``: the run ends all the same when more steps than these are
            left out one after the other.
        save: Write each such batch (at most 10 a run) to ``bad_batches/`` in the work dir.
        check_gradients: Look at the gradients as well; costs one reading of them a step.

    Raises:
        UsageError: In training; names iteration, losses and images.
    """

    # Before the moving average and the checkpoint see the model.
    priority = 'VERY_HIGH'

    def __init__(
        self,
        action: str = 'stop',
        most_in_a_row: int = 10,
        save: bool = False,
        check_gradients: bool = True,
    ) -> None:
        if action not in ACTIONS:
            raise UsageError(f"action is '{action}': set it to 'stop' or 'skip'")
        if most_in_a_row < 1:
            raise UsageError(f'most_in_a_row is {most_in_a_row}: set it to 1 or more')
        self.action = action
        self.most_in_a_row = most_in_a_row
        self.save = save
        self.check_gradients = check_gradients
        self._handles: list = []
        self._runner: Any = None
        self._batch: Any = None
        self._losses: dict[str, torch.Tensor] = {}
        self._statistics: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._poisoned = self._judged = False
        self._in_a_row = self._saved = 0

    def before_train(self, runner: Runner) -> None:
        """Watch the model's losses and the optimizers' steps."""
        self._runner = runner
        self._release()
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._handles = [model.register_forward_hook(self._see_losses, with_kwargs=True)]
        wrapper = runner.optim_wrapper
        wrappers = [wrapper] if hasattr(wrapper, 'optimizer') else list(wrapper.values())
        for one in wrappers:
            # A fused optimizer is called even where the scaler has found infinite gradients.
            gradients = self.check_gradients and not hasattr(one, 'loss_scaler')
            judge = partial(self._before_step, gradients)
            self._handles.append(one.optimizer.register_step_pre_hook(judge))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, and what the forward pass will change."""
        self._batch, self._losses, self._judged = data_batch, {}, False
        self._statistics = [
            (buffer, buffer.clone())
            for module in runner.model.modules()
            if isinstance(module, _NormBase) and module.training
            for buffer in module.buffers(recurse=False)
        ]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Judge an iteration without a step: gradients are gathered, or the scaler left it out."""
        if not self._judged and not _finite(self._losses.values()):
            self._undo_statistics()
            # Gathered gradients are spoilt until the step; a scaler has cleared them.
            self._poisoned = any(p.grad is not None for p in runner.model.parameters())
            self._act()
        self._batch, self._losses = None, {}

    def after_train(self, runner: Runner) -> None:
        """Tell how many steps were left out."""
        self._release()
        skipped = runner.message_hub.runtime_info.get(SKIPPED, 0)
        if skipped:
            runner.logger.warning(f'{skipped} steps of this training were left out: not finite')

    def _see_losses(self, module: Any, args: tuple, options: dict, output: Any) -> None:
        """A forward pass has ended."""
        if options.get('mode') != 'loss' or not isinstance(output, dict):
            return
        for name, value in output.items():
            parts = value if isinstance(value, (list, tuple)) else [value]
            self._losses[name] = sum(part.detach().float().mean() for part in parts)

    def _before_step(
        self, gradients: bool, optimizer: torch.optim.Optimizer, args: tuple, options: dict
    ) -> None:
        """Let a step through, or take its gradients away, which makes it none."""
        self._judged = True
        watched = list(self._losses.values())
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        if gradients:
            watched += _largest([p.grad for p in parameters if p.grad is not None])
        own = not _finite(watched)
        if not self._bad_anywhere(own or self._poisoned):
            self._in_a_row = 0
            return
        self._undo_statistics()
        for parameter in parameters:
            parameter.grad = None
        poisoned, self._poisoned = self._poisoned, False
        if own or not poisoned:  # a batch gathered before was reported when it came
            self._act(elsewhere=not own)

    def _bad_anywhere(self, bad: bool) -> bool:
        """Whether any process says so."""
        if get_world_size() == 1:
            return bad
        device = next(self._runner.model.parameters()).device
        count = torch.tensor(int(bad), device=device)
        all_reduce(count, op='max')
        return bool(count.item())

    def _undo_statistics(self) -> None:
        for buffer, before in self._statistics:
            buffer.copy_(before)

    def _act(self, elsewhere: bool = False) -> None:
        """Stop, or warn and count."""
        runner = self._runner
        losses = {name: value.item() for name, value in self._losses.items()}
        where = f'in iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        if elsewhere:
            line = f'loss or gradients of another process are not finite {where}'
        else:
            line = f'{describe_losses(losses)} {where}; {describe_batch(self._batch)}'
        if get_world_size() > 1:
            line = f'process {get_rank()}: {line}'
        if self.save and not elsewhere and self._saved < MOST_SAVED:
            self._saved += 1
            folder = Path(runner.work_dir, FOLDER)
            line += f'; saved as {save_batch(folder, runner, self._batch, losses)}'
        if self.action == 'stop':
            raise UsageError(
                f'{line}; the weights are as before: lower the learning rate or clip gradients, '
                "or leave such steps out with default_hooks.non_finite_loss.action='skip'"
            )
        self._in_a_row += 1
        hub = runner.message_hub
        hub.update_info(SKIPPED, hub.runtime_info.get(SKIPPED, 0) + 1)
        if self._in_a_row > self.most_in_a_row:
            raise UsageError(
                f'{line}; more than most_in_a_row={self.most_in_a_row} steps were left out one '
                'after the other: lower the learning rate or clip gradients'
            )
        runner.logger.warning(f'Step left out: {line}')

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _largest(gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """The largest magnitude in each; NaN or inf if one entry is."""
    if not gradients:
        return []
    dense = [one.coalesce().values() if one.is_sparse else one for one in gradients]
    norms = torch._foreach_norm(dense, float('inf'))
    return [norm.float() for norm in norms]


def _finite(values: Iterable[torch.Tensor]) -> bool:
    """Whether all numbers are, with a single transfer from the device."""
    values = list(values)
    if not values:
        return True
    return bool(torch.isfinite(torch.stack([value.to(values[0].device) for value in values])).all())
