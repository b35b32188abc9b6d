# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Several processes, with or without a GPU."""

import torch
from mmengine.config import Config

__all__ = ['join_processes', 'leave_processes']


def join_processes(cfg: Config) -> None:
    """Let ``--launcher pytorch`` work on a machine without a GPU.

    MMEngine's launcher selects a CUDA device and dies where there is none. On such a machine the
    gloo group is made here, before the Runner is built, which then skips its own; and the model is
    wrapped without device ids. With a GPU nothing is changed.

    Args:
        cfg: A run's config, with ``launcher`` set; changed in place.
    """
    if cfg.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    cfg.model_wrapper_cfg = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
    )


def leave_processes() -> None:
    """End a run of several processes together.

    A process that exits while its neighbour still uses the group makes that one abort.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
