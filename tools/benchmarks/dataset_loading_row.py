# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One row of the benchmark of dataset loading, in a process of its own; Linux only.

    python dataset_loading_row.py ours FOLDER

prints one line of JSON: for each step, wall and CPU seconds, and MB above the memory that the
process had before the first step, at most and after the step; and the label order that was found.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mmpretrain.datasets import MultiLabelDataset

from cnnrnn_mm.datasets import NUSWide, OrderLabels
from cnnrnn_mm.datasets.annotations import check_labels, infos
from cnnrnn_mm.engine import LabelOrderHook

__all__ = ['Steps', 'measure']


class PlainDataset(MultiLabelDataset):
    """The files read with ``numpy.loadtxt``, one label list for each image."""

    def load_data_list(self) -> list[dict]:
        """Read all."""
        root = Path(self.data_root)
        names = (root / 'ConceptsList/Concepts81.txt').read_text().split()
        columns = [
            np.loadtxt(root / f'Groundtruth/AllLabels/Labels_{name}.txt', dtype=np.int64)
            for name in names
        ]
        matrix = np.stack(columns, 1)
        listing = (root / 'ImageList/Imagelist.txt').read_text().split()
        self._metainfo['classes'] = names
        return [
            dict(
                img_path=os.path.join(self.data_root, 'Flickr', path.replace('\\', '/')),
                gt_label=np.flatnonzero(marks).tolist(),
            )
            for path, marks in zip(listing, matrix, strict=True)
        ]


class Steps:
    """Measures calls one after another."""

    def __init__(self) -> None:
        gc.collect()
        self.before = _megabytes('VmRSS')
        self.found: dict[str, dict] = {}

    def __call__(self, name: str, run: Callable[[], object]) -> object:
        """Run and remember."""
        Path('/proc/self/clear_refs').write_text('5')  # the peak is counted anew
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        self.found[name] = dict(
            wall=time.perf_counter() - wall,
            cpu=time.process_time() - cpu,
            peak=_megabytes('VmHWM') - self.before,
            after=_megabytes('VmRSS') - self.before,
        )
        return result


def measure(row: str, folder: str) -> dict:
    """{'steps': {name: figures}, 'order': class ids, the most frequent first}."""
    step = Steps()
    if row == 'plain':
        data = step('start', lambda: PlainDataset('', data_root=folder))
        order = step('count and order', lambda: _order_plainly(data))
    else:
        missing = 'error' if row == 'images' else 'ignore'
        data = step('start', lambda: NUSWide(folder, split='all', missing=missing))
        order = step('count and order', lambda: _order(data))
    return {'steps': step.found, 'order': order}


def _order(data: NUSWide) -> list[int]:
    """Fit as the hook does before training, then order the labels of each image."""
    transform = OrderLabels('frequent_first')
    data.pipeline.transforms = [transform]
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=data),
        model=SimpleNamespace(head=None),
        train_loop=None,
    )
    LabelOrderHook().before_train(runner)
    for info in infos(data):
        transform(info)
    return transform.sequence.tolist()


def _order_plainly(data: MultiLabelDataset) -> list[int]:
    """The same by the host's means alone, with the same checks."""
    annotations = [data.get_data_info(index) for index in range(len(data))]
    counts = np.zeros(len(data.metainfo['classes']), int)
    for info in annotations:
        for label in info['gt_label']:
            counts[label] += 1
    sequence = np.argsort(-counts, kind='stable')
    rank = np.argsort(sequence)
    for info in annotations:
        labels = np.asarray(info['gt_label'], dtype=np.int64)
        check_labels([labels], [info['img_path']], len(counts))
        info['gt_label'] = labels[np.argsort(rank[labels], kind='stable')]
    return sequence.tolist()


def _megabytes(key: str) -> float:
    status = Path('/proc/self/status').read_text()
    line = next(line for line in status.splitlines() if line.startswith(f'{key}:'))
    return int(line.split()[1]) / 1024


if __name__ == '__main__':
    sys.stdout.write(json.dumps(measure(*sys.argv[1:])) + '\n')
