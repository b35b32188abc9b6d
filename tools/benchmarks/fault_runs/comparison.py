# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whether two work dirs hold the same training."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import find_latest_checkpoint

__all__ = ['checkpoint_files', 'differences']

#: Logged beside losses, rates and metrics: depends on the machine.
CLOCKS = ('time', 'memory', 'eta')
PARTS = ('state_dict', 'optimizer', 'param_schedulers', 'random_state')


def checkpoint_files(work_dir: Path) -> list[str]:
    """Names of the checkpoints and of what a save leaves when it is cut off."""
    return sorted(path.name for path in work_dir.iterdir() if path.suffix in ('.pth', '.saving'))


def differences(expected: Path, found: Path) -> list[str]:
    """What differs: files, weights, optimizer, schedule, random states, label order, figures.

    All numbers are compared bit by bit. The figures are those that every validation and every
    training step has logged.

    Args:
        expected: Work dir of the uninterrupted run.
        found: Work dir of the other.

    Returns:
        Names of what differs; empty if nothing does.
    """
    result = []
    if checkpoint_files(expected) != checkpoint_files(found):
        result.append(f'files: {checkpoint_files(expected)}, {checkpoint_files(found)}')
    paths = [Path(find_latest_checkpoint(str(folder))) for folder in (expected, found)]
    if paths[0].name != paths[1].name:
        return [*result, f'last_checkpoint: {paths[0].name}, {paths[1].name}']
    ours, theirs = (torch.load(path, weights_only=True) for path in paths)
    for part in PARTS:
        result += _unequal(ours[part], theirs[part], part)
    result += _unequal(ours['meta']['label_order'], theirs['meta']['label_order'], 'label order')
    result += _unequal(_scalars(ours), _scalars(theirs), 'log')
    result += _unequal(validations(expected), validations(found), 'validation')
    return result


def validations(work_dir: Path) -> dict[int, dict[str, float]]:
    """The figures of each epoch's validation, over all starts of a run; the last where repeated."""
    figures = {}
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):  # folders are named by time
        for record in map(json.loads, log.read_text().splitlines()):
            if 'label-set/O-F1' in record:
                step = record.pop('step')
                figures[step] = {key: one for key, one in record.items() if not _is_clock(key)}
    return figures


def _scalars(checkpoint: dict) -> dict:
    histories = checkpoint['message_hub']['log_scalars']
    return {key: one['values'] for key, one in histories.items() if not _is_clock(key)}


def _is_clock(key: str) -> bool:
    return any(word in key for word in CLOCKS)


def _unequal(ours: Any, theirs: Any, name: str) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = ours.keys() | theirs.keys()
        pairs = [(ours.get(key), theirs.get(key), f'{name} {key}') for key in names]
        return [one for pair in pairs for one in _unequal(*pair)]
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return [f'{name}: {len(ours)}, {len(theirs)}']
        pairs = [
            (*pair, f'{name} {index}') for index, pair in enumerate(zip(ours, theirs, strict=True))
        ]
        return [one for pair in pairs for one in _unequal(*pair)]
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [name]
    return [] if ours == theirs else [f'{name}: {ours}, {theirs}']
