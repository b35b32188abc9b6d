# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a training step costs with regions, and without.

Axis letters: N images of a batch, B regions beside the whole image, F channels.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measuring import Case, peak_bytes, time_side_by_side
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from rich.console import Console
from tables.plan import describe_work
from tables.results import describe_head
from tables.writing import TextTable, print_tables, write_markdown
from torch import Tensor, nn

from cnnrnn_mm.apis.dataset_configs import type_name
from cnnrnn_mm.datasets import OrderLabels, load_features
from cnnrnn_mm.models.proposals.grid_proposals import level_windows
from cnnrnn_mm.registry import MODELS

from .regions import REGION_ROWS

__all__ = ['measure_cost']

BASELINE, WAYS = 'cnn-rnn', ('rlsd-grid', 'rlsd-weak')
COST, TABLE = 'cost.json', 'cost.md'
CPU = torch.device('cpu')
MIB = 2**20


class _Trained(nn.Module):
    """What of a model trains on maps: neck and head."""

    def __init__(self, model: dict) -> None:
        super().__init__()
        self.neck = None if model.get('neck') is None else MODELS.build(model['neck'])
        self.head = MODELS.build(model['head'])

    def forward(self, maps: Tensor, samples: list[DataSample]) -> tuple[Tensor, int]:
        """The loss, and the most regions of an image (1 without a neck)."""
        feats = (maps,) if self.neck is None else self.neck((maps,))
        losses = self.head.loss(feats, samples)
        regions = 1 if self.neck is None else int(feats[-1].valid.sum(1).max())
        return sum(losses.values()), regions


def measure_cost(args: argparse.Namespace, cfg: Config, console: Console) -> list[dict]:
    """Time steps side by side, measure their memory, and write both to ``args.out``.

    A step is forward, loss, backward, clipping and optimiser step on one batch of cached maps,
    always the same; reading it is left out. Each round times every model once.
    """
    torch.set_num_threads(args.threads)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    size = cfg.train_dataloader.batch_size
    maps, samples, order = _read_batch(args.features, size, args.known_seed)
    models = {(BASELINE, None): REGION_ROWS.config_of(cfg, REGION_ROWS.load(BASELINE))}
    for count in dict.fromkeys(args.cost):
        for name in WAYS:
            models[name, count] = _with_regions(cfg, name, count)
    steps, rows = [], []
    for (name, count), one in models.items():
        torch.manual_seed(args.known_seed)
        model = _Trained(one.model).train()
        model.head.set_training_order('frequent_first', order)
        step = partial(_step, model, build_optim_wrapper(model, one.optim_wrapper), maps, samples)
        regions = step()  # not measured: the first call is slow
        steps.append(step)
        weights = sum(weight.numel() for weight in model.parameters())
        peak = peak_bytes(step, CPU) / MIB
        rows.append(dict(row=name, asked=count, regions=regions, weights=weights, mib=peak))
    cases = [Case(step, repeats=args.repeats) for step in steps]
    time_side_by_side(cases, CPU)
    for row, case in zip(rows, cases, strict=True):
        ratios = [one / other for one, other in zip(case.seconds, cases[0].seconds, strict=True)]
        row.update(
            ms=1e3 * median(case.seconds),
            ms_min=1e3 * min(case.seconds),
            ms_max=1e3 * max(case.seconds),
            time_ratio=median(ratios),
            memory_ratio=row['mib'] / rows[0]['mib'],
        )
    _write(args, rows, maps, console)
    return rows


def _step(model: _Trained, optimizer: Callable, maps: Tensor, samples: list[DataSample]) -> int:
    loss, regions = model(maps, samples)
    optimizer.update_params(loss)
    return regions


def _with_regions(cfg: Config, name: str, count: int) -> Config:
    """A row with B regions; a grid gets as many levels as it needs."""
    changed = REGION_ROWS.config_of(cfg, REGION_ROWS.load(name))
    neck = changed.model.neck
    neck.num_regions = count
    if type_name(neck.proposals) == 'GridProposals':
        levels, windows = [], 0
        while windows < count:
            levels.append(len(levels) + 2)
            windows += len(level_windows(levels[-1]))
        neck.proposals.levels = levels
    return changed


def _read_batch(features: str, size: int, seed: int) -> tuple[Tensor, list[DataSample], list[int]]:
    """Maps (N, F, h, w) of random training images, their labels in order, and the order."""
    cached = load_features(Path(features) / 'train')
    labels, num_classes = cached.labels, len(cached.classes)
    flat = np.concatenate([np.asarray(one, dtype=np.int64) for one in labels])
    arrange = OrderLabels('frequent_first')
    arrange.fit(np.bincount(flat, minlength=num_classes).tolist())
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[:size].sort().values.tolist()
    samples = []
    for row in chosen:
        ordered = arrange({'gt_label': labels[row]})['gt_label']
        samples.append(DataSample().set_gt_label(torch.from_numpy(ordered)))
    order = arrange({'gt_label': list(range(num_classes))})['gt_label'].tolist()
    return torch.from_numpy(np.array(cached.views[chosen, 0])), samples, order


def _write(args: argparse.Namespace, rows: list[dict], maps: Tensor, console: Console) -> None:
    work = describe_work()
    header = ['row', 'regions', 'ms', 'least', 'most', 'MiB', 'times the time', 'times the memory']
    lines = [
        [
            row['row'],
            str(row['regions']),
            *(f'{row[name]:.1f}' for name in ('ms', 'ms_min', 'ms_max', 'mib')),
            *(f'{row[name]:.2f}' for name in ('time_ratio', 'memory_ratio')),
        ]
        for row in rows
    ]
    notes = [
        f'{len(maps)} images a batch, maps {tuple(maps.shape[1:])}, {torch.get_num_threads()} '
        f'threads; median of {args.repeats} steps, timed in turn, and of the ratios in each round.',
        'regions: the most of an image, the whole image among them. MiB: what tensors that the '
        "step makes take at once, gradients among them; weights, maps and the optimiser's state "
        'are there before, and scratch space inside operators is not seen.',
    ]
    table = TextTable(f'{Path(args.config).stem}, a training step', header, 1, lines, [], notes)
    content = dict(run=work, options={**vars(args), 'out': str(args.out)}, rows=rows)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / COST).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    write_markdown(args.out / TABLE, describe_head(work), [table])
    print_tables(console, [table])
    console.print(f'Results in {args.out}', markup=False, soft_wrap=True)
