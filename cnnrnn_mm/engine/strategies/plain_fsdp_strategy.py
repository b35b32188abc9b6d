# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Sharded weights with ordinary checkpoints."""

from typing import Any

import torch
from mmengine._strategy.fsdp import FSDPStrategy
from mmengine.optim import BaseOptimWrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ...errors import UsageError

__all__ = ['PlainFSDPStrategy']


class PlainFSDPStrategy(FSDPStrategy):
    """The host's ``FSDPStrategy`` with checkpoints that everything else here can read.

    MMEngine 0.10.7 on torch 2.1 or later does four things that a run of this project can't use:

    - a resumed run dies: it hands the optimiser's state to torch in the order of arguments of
      torch 2.0;
    - gradients are clipped by the norm of each process's own shard, so that one weight matrix gets
      several factors: here the norm is that of all shards;
    - by default each process writes a file of its shards in a class that
      ``torch.load(..., weights_only=True)`` refuses: here the main process writes one file, as
      without FSDP, which tests and resumes on any number of processes;
    - without a GPU it does not start.

    Named in a config by its path, since strategies are no part of MMPretrain's registries::

        runner_type = 'FlexibleRunner'
        strategy = dict(type='cnnrnn_mm.engine.strategies.PlainFSDPStrategy')

    Args:
        model_wrapper: Arguments of ``MMFullyShardedDataParallel``. Where ``auto_wrap_policy`` makes
            units of their own, let them be parts of the backbone: the head calls its parts by
            methods other than ``forward``, which a unit does not gather its weights for.
        **kwargs: Those of the host's ``FSDPStrategy``, without ``state_dict_cfg``.

    Raises:
        UsageError: If ``state_dict_cfg`` is given.
    """

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs: Any) -> None:
        if 'state_dict_cfg' in kwargs:
            raise UsageError(
                'PlainFSDPStrategy always writes whole checkpoints: leave out state_dict_cfg, or '
                "use the host's FSDPStrategy"
            )
        on_gpu = torch.cuda.is_available()
        wrapper = dict(type='MMFullyShardedDataParallel', **({} if on_gpu else CPU))
        # Weights that are on the CPU already can't be moved there: torch frees them as it copies.
        whole = dict(rank0_only=on_gpu, offload_to_cpu=on_gpu)
        super().__init__(
            model_wrapper={**wrapper, **(model_wrapper or {})},
            state_dict_cfg=dict(
                state_dict_type='FULL_STATE_DICT',
                state_dict_config=dict(type='FullStateDictConfig', **whole),
                optim_state_dict_config=dict(type='FullOptimStateDictConfig', **whole),
            ),
            **kwargs,
        )

    def build_optim_wrapper(
        self, optim_wrapper: BaseOptimWrapper | dict, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        """Build it, and let it clip by the norm of all shards."""
        built = super().build_optim_wrapper(optim_wrapper, model)
        clip = (getattr(built, 'clip_grad_kwargs', None) or {}).copy()
        if clip:
            if built.clip_func is not nn.utils.clip_grad_norm_:
                raise UsageError(
                    "clip_grad of type 'value' is not supported with sharded weights: write "
                    'clip_grad=dict(max_norm=...)'
                )
            wrapped: Any = model  # FullyShardedDataParallel
            built.clip_func = lambda _, max_norm, norm_type=2.0, **__: wrapped.clip_grad_norm_(
                max_norm, norm_type
            )
        return built

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the state of a whole checkpoint, each process its shards."""
        shards = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=self.optim_wrapper.optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(shards)


#: ``MMFullyShardedDataParallel`` on a machine without a GPU.
CPU = dict(device_id='cpu')
