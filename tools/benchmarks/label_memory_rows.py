# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One row of the benchmark of label memory, in a process of its own; Linux only.

    python label_memory_rows.py storage IMAGES LABELS SEED

prints one line of JSON. Axis letters: n images, C labels, V = C + 1 (labels and END).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch
from dataset_loading_row import Steps
from mmengine.evaluator import BaseMetric
from mmpretrain.structures import DataSample
from torch.utils.flop_counter import FlopCounterMode

from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.datasets.label_table import LabelTable
from cnnrnn_mm.datasets.table_dataset import TableDataset
from cnnrnn_mm.engine import LabelOrderHook
from cnnrnn_mm.evaluation import LabelSetMetric, RankingMetric
from cnnrnn_mm.models import CNNRNNHead

__all__ = ['DrawnDataset', 'draw_labels', 'measure']

MEAN_LABELS = 5
#: Of the head that is measured: F of MobileNetV2, D and H as by default, a usual batch.
FEATURES, BATCH, REPEATS = 1280, 32, 5


def draw_labels(images: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Label sets in which label k is drawn in proportion to 1 / (k + 10).

    Returns:
        The ids of all images one after another, int32, and where each image begins, (n + 1,).
    """
    generator = np.random.default_rng(seed)
    share = np.cumsum(1 / (np.arange(labels) + 10))
    rows = np.repeat(np.arange(images), 1 + generator.poisson(MEAN_LABELS - 1, images))
    ids = np.searchsorted(share, generator.random(len(rows)) * share[-1])
    pairs = np.unique(rows * labels + ids)  # each label once in an image
    starts = np.searchsorted(pairs, np.arange(images + 1) * labels)
    return (pairs % labels).astype(np.int32), starts


class DrawnDataset(TableDataset):
    """Drawn label sets, with paths of photos that do not exist."""

    def __init__(self, ids: np.ndarray, starts: np.ndarray, labels: int, **kwargs) -> None:
        self.drawn = ids, starts, labels
        super().__init__('', **kwargs)

    def read_table(self) -> LabelTable:
        """The table, as a reader of a file would give it."""
        ids, starts, labels = self.drawn
        flat, ends = ids.tolist(), starts.tolist()
        return LabelTable(
            source='drawn label sets',
            classes=tuple(f'label {number}' for number in range(labels)),
            img_paths=[f'{row // 1000:05d}/{row:09d}.jpg' for row in range(len(ends) - 1)],
            labels=[tuple(flat[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True)],
        )


def measure(row: str, images: int, labels: int, seed: int) -> dict:
    """The figures of a row: ``storage``, ``workers``, ``head`` or the name of a metric."""
    return ROWS[row](images, labels, seed)


def _storage(images: int, labels: int, seed: int) -> dict:
    """Bytes of plain arrays, then table, dataset and label order one after another."""
    ids, starts = draw_labels(images, labels, seed)
    step = Steps()
    made = DrawnDataset(ids, starts, labels, lazy_init=True)
    step('table', made.read_table)
    step('dataset', made.full_init)
    made.pipeline.transforms = [OrderLabels('frequent_first')]
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=made),
        model=SimpleNamespace(head=None),
        train_loop=None,
    )
    step('label order', lambda: LabelOrderHook().before_train(runner))
    asked = np.random.default_rng(seed).integers(0, images, 10000)
    begin = time.perf_counter()
    for index in asked.tolist():
        made.get_data_info(index)
    return dict(
        steps=step.found,
        label_count=len(ids),
        one_hot_bytes=images * labels,
        csr_bytes=ids.nbytes + starts.nbytes,
        serialised_bytes=made.data_bytes.nbytes + made.data_address.nbytes,
        get_microseconds=(time.perf_counter() - begin) / len(asked) * 1e6,
    )


def _workers(images: int, labels: int, seed: int) -> dict:
    """MB that a forked worker has of its own once it has read all annotations."""
    ids, starts = draw_labels(images, labels, seed)
    found = {}
    for name, serialise in (('serialised', True), ('list of dicts', False)):
        made = DrawnDataset(ids, starts, labels, serialize_data=serialise)
        found[name] = _in_fork(partial(_read_all, made))
        del made
    return found


def _read_all(made: DrawnDataset) -> None:
    for index in range(len(made)):
        made.get_data_info(index)


def _in_fork(run: Callable[[], object]) -> float:
    """MB of private memory that ``run`` adds in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = _private_megabytes()
        run()
        os.write(writer, json.dumps(_private_megabytes() - before).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        value = said.read()
    os.waitpid(child, 0)
    return json.loads(value)


def _private_megabytes() -> float:
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('Private')) / 1024


def _metric(kind: type[BaseMetric], images: int, labels: int, seed: int) -> dict:
    """What a metric holds after all images, and at most while it computes."""
    ids, starts = draw_labels(images, labels, seed)
    torch.manual_seed(seed)
    metric = kind()

    def collect() -> None:
        for row in range(images):
            truth = torch.from_numpy(ids[starts[row] : starts[row + 1]]).long()
            sample = dict(pred_score=torch.rand(labels), pred_label=truth, gt_label=truth)
            metric.process(None, [sample])

    step = Steps()
    step('collect', collect)
    step('compute', lambda: metric.compute_metrics(metric.results))
    return step.found


def _head(images: int, labels: int, seed: int) -> dict:
    """A training step of the head and a beam search, without a backbone; ``images`` is not used."""
    ids, starts = draw_labels(BATCH, labels, seed)
    samples = [
        DataSample().set_gt_label(torch.from_numpy(ids[a:b]).long())
        for a, b in zip(starts[:-1], starts[1:], strict=True)
    ]
    torch.manual_seed(seed)
    search = dict(beam_size=5, constraints=dict(max_length=MEAN_LABELS))
    head = CNNRNNHead(labels, FEATURES, postprocessor=search)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    features = torch.randn(BATCH, FEATURES)

    def train() -> None:
        optimizer.zero_grad()
        head.train().loss((features,), samples)['loss'].backward()
        optimizer.step()

    def decode() -> None:
        head.eval().decoder.clear_trie()
        head.predict((features,))

    with FlopCounterMode(display=False) as counter:
        train()
    return dict(
        batch=BATCH,
        steps=len(ids) + BATCH,
        parameters=sum(one.numel() for one in head.parameters()),
        train_flops=counter.get_total_flops(),
        train_milliseconds=_median_milliseconds(train),
        search_milliseconds=_median_milliseconds(decode),
    )


def _median_milliseconds(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        run()
        times.append(1000 * (time.process_time() - begin))
    return median(times)


ROWS = dict(
    storage=_storage,
    workers=_workers,
    head=_head,
    **{kind.__name__: partial(_metric, kind) for kind in (LabelSetMetric, RankingMetric)},
)

if __name__ == '__main__':
    torch.set_num_threads(1)
    row, *numbers = sys.argv[1:]
    sys.stdout.write(json.dumps(measure(row, *map(int, numbers))) + '\n')
