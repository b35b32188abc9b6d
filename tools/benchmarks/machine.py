# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a benchmark ran on."""

import datetime
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

import torch

__all__ = ['describe_run', 'physical_cores']

_PACKAGES = ('torch', 'mmpretrain', 'mmengine', 'transformers', 'numpy')


def physical_cores() -> int:
    """Physical cores that this process may use."""
    cpus = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(os.cpu_count())
    siblings = set()
    for cpu in cpus:
        path = Path(f'/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list')
        siblings.add(path.read_text().strip() if path.is_file() else str(cpu))
    return max(1, len(siblings))


def describe_run(device: torch.device) -> dict:
    """Date, command, versions and machine, for the record."""
    versions = {'python': platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        'command': shlex.join(['python', Path(sys.argv[0]).name, *sys.argv[1:]]),
        'versions': versions,
        'machine': {
            'cpu': _cpu_name(),
            'physical_cores': physical_cores(),
            'threads': torch.get_num_threads(),
            'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu',
        },
    }


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()
