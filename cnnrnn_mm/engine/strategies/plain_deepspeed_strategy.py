# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""DeepSpeed whose checkpoints hold what hooks store."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from mmengine._strategy.deepspeed import DeepSpeedStrategy
from torch import nn

from ...errors import UsageError

__all__ = ['PlainDeepSpeedStrategy']

#: A module of deepspeed that MMEngine 0.10.7 imports.
ONEBIT = 'deepspeed.runtime.fp16.onebit'


class PlainDeepSpeedStrategy(DeepSpeedStrategy):
    """The host's ``DeepSpeedStrategy``, which lets hooks take part in saving and loading.

    MMEngine 0.10.7 calls no hook when it saves or resumes with DeepSpeed: the label order and the
    random states of a run of this project would be missing, and a resumed run would go on without
    them. Here hooks get what DeepSpeed stores beside weights and optimiser (``meta``,
    ``message_hub``). There are no weights in it, so hooks that change the stored weights
    (``EMAHook``) can't be used.

    A checkpoint stays DeepSpeed's folder of files, which only as many processes as have written it
    resume.

    Named in a config by its path, since strategies are no part of MMPretrain's registries::

        runner_type = 'FlexibleRunner'
        strategy = dict(type='cnnrnn_mm.engine.strategies.PlainDeepSpeedStrategy')

    Args:
        **kwargs: Those of the host's ``DeepSpeedStrategy``.

    Raises:
        UsageError: If the package deepspeed is missing, or too new for MMEngine 0.10.7.
    """

    def __init__(self, **kwargs: Any) -> None:
        if find_spec('deepspeed') is None:
            raise UsageError(
                'PlainDeepSpeedStrategy needs the package deepspeed: pip install '
                "'deepspeed<=0.19.6', or use cnnrnn_mm.engine.strategies.PlainFSDPStrategy"
            )
        if find_spec(ONEBIT) is None:
            raise UsageError(
                f'this release of deepspeed has no {ONEBIT}, which MMEngine imports: pip install '
                "'deepspeed<=0.19.6'"
            )
        super().__init__(**kwargs)

    def prepare(self, model: nn.Module | dict, *, dispatch_kwargs: dict, **kwargs: Any) -> tuple:
        """Tell DeepSpeed the batch size, which FlexibleRunner does for the host's class alone."""
        if 'train_batch_size' not in self.config and not self._prepared:
            # Absent when a run only tests.
            size = dispatch_kwargs.get('train_micro_batch_size_per_gpu', 1)
            self.config.setdefault('train_micro_batch_size_per_gpu', size)
        return super().prepare(model, dispatch_kwargs=dispatch_kwargs, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Wrap it, and let hooks watch the steps: ZeRO's optimiser is none of torch's."""
        wrapped = super()._wrap_model(model)
        optimizer: Any = getattr(getattr(self, 'optim_wrapper', None), 'optimizer', None)
        inner = getattr(optimizer, 'optimizer', None)
        if inner is not None and not hasattr(optimizer, 'register_step_pre_hook'):
            optimizer.register_step_pre_hook = inner.register_step_pre_hook
        return wrapped

    def save_checkpoint(
        self,
        filename: str,
        *,
        extra_ckpt: dict | None = None,
        callback: Callable[[dict], None] | None = None,
        **kwargs: Any,
    ) -> None:
        """Save what the hooks add, too; called on all processes."""
        extra = {'meta': {}} if extra_ckpt is None else extra_ckpt
        if callback is not None:
            callback(extra)
        super().save_checkpoint(filename, extra_ckpt=extra, **kwargs)

    def load_checkpoint(
        self, filename: str, *, callback: Callable[[dict], None] | None = None, **kwargs: Any
    ) -> dict:
        """Load weights, and let the hooks read the rest."""
        extra = super().load_checkpoint(filename, **kwargs)
        if callback is not None:
            callback(extra)
        return extra

    def resume(
        self, filename: str, *, callback: Callable[[dict], None] | None = None, **kwargs: Any
    ) -> dict:
        """Resume a run, and let the hooks read the rest."""
        extra = super().resume(filename, **kwargs)
        if callback is not None:
            callback(extra)
        return extra
