# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Several processes, with or without a GPU."""

import os
import subprocess
from datetime import timedelta
from importlib.util import find_spec

import torch
from mmengine.config import Config, ConfigDict

from ..errors import UsageError

__all__ = ['join_processes', 'leave_processes']

#: What each launcher tells a process: its number, the number of all, its number on this machine.
LAUNCHER_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
STARTED_BY = {
    'pytorch': 'bash tools/dist_train.sh CONFIG GPUS, or torchrun',
    'slurm': 'bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR, or srun',
    'mpi': 'mpirun',
}


def join_processes(cfg: Config) -> None:
    """Let ``--launcher`` work on a machine without a GPU, and say what is missing.

    MMEngine's launchers select a CUDA device and die where there is none. On such a machine the
    gloo group is made here, before the Runner is built, which then skips its own; and the model is
    wrapped without device ids. With a GPU nothing is changed.

    Args:
        cfg: A run's config, with ``launcher`` set; changed in place.

    Raises:
        UsageError: If the process was not started by the launcher, or the config's strategy needs
            a package that is missing.
    """
    strategy = cfg.get('strategy') or {}
    _check_strategy(cfg, strategy)
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    missing = [name for name in LAUNCHER_VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise UsageError(
            f'--launcher {launcher}, but the environment has no {" and no ".join(missing)}: start '
            f'with {STARTED_BY[launcher]}, or leave out --launcher'
        )
    if torch.cuda.is_available():
        return
    _set_variables(launcher)
    env_cfg = cfg.get('env_cfg') or {}
    seconds = (env_cfg.get('dist_cfg') or {}).get('timeout')  # as MMEngine's launchers read it
    limit = None if seconds is None else timedelta(seconds=seconds)
    torch.distributed.init_process_group('gloo', timeout=limit)
    cfg.env_cfg = {**env_cfg, 'dist_cfg': dict(backend='gloo')}
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
        device_ids=None,
    )
    chosen = cfg.get('model_wrapper_cfg') or {}
    if chosen.get('type', wrapper['type']) == wrapper['type']:
        cfg.model_wrapper_cfg = {**wrapper, **chosen}
    if (
        cfg.get('runner_type') == 'FlexibleRunner'
        and strategy.get('type', 'DDPStrategy') == 'DDPStrategy'
    ):
        wrapper.update(strategy.get('model_wrapper') or {})
        cfg.strategy = {'type': 'DDPStrategy', **strategy, 'model_wrapper': wrapper}


def leave_processes() -> None:
    """End a run of several processes together.

    A process that exits while its neighbour still uses the group makes that one abort.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _check_strategy(cfg: Config, strategy: ConfigDict | dict) -> None:
    """Say what the host says late, at length, or not at all."""
    kind = str(strategy.get('type', ''))
    if strategy and cfg.get('runner_type') != 'FlexibleRunner':
        raise UsageError(
            f"the config has strategy=dict(type='{kind}'), which only FlexibleRunner reads: add "
            "runner_type = 'FlexibleRunner'"
        )
    if (
        kind.endswith('DeepSpeedStrategy')
        and getattr(find_spec('deepspeed'), 'origin', None) is None
    ):
        raise UsageError(
            f"{kind} needs the package deepspeed: pip install 'deepspeed<=0.19.6', or use "
            'cnnrnn_mm.engine.strategies.PlainFSDPStrategy'
        )
    if kind.endswith('FSDPStrategy') and cfg.get('launcher', 'none') == 'none':
        raise UsageError(
            f'{kind} shares weights between processes: start with {STARTED_BY["pytorch"]}'
        )


def _set_variables(launcher: str) -> None:
    """What torch reads, from what the launcher says."""
    for name, source in zip(
        LAUNCHER_VARIABLES['pytorch'], LAUNCHER_VARIABLES[launcher], strict=True
    ):
        os.environ[name] = os.environ[source]
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ and launcher == 'slurm':
        os.environ['MASTER_ADDR'] = _first_host(os.environ.get('SLURM_NODELIST', ''))
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of nodes, such as ``gpu[3-4,7]``; Slurm reads the list itself."""
    command = ['scontrol', 'show', 'hostnames', nodes]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        said = ''
    if not said.strip():
        raise UsageError(
            f"scontrol does not tell the first host of SLURM_NODELIST='{nodes}': set MASTER_ADDR"
        )
    return said.split()[0]
