# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from cnnrnn_mm.engine.hooks.worker_seeds import WorkerSeeds


class Drawing(BaseDataset):
    """Each item is what the three generators draw, before and in the pipeline."""

    def load_data_list(self):
        return [dict(number=number) for number in range(6)]

    def prepare_data(self, index):
        number = self.get_data_info(index)['number']
        return number, float(np.random.rand()), self.pipeline(None)


def draw(_):
    return random.random(), float(torch.rand(()))


def drawn(epochs, persistent=True, seed=3, rank=0, workers=2, wrap=lambda one: one):
    """What each of these epochs gives, in one dataloader."""
    dataset = wrap(Drawing(pipeline=[draw]))
    loader = DataLoader(
        dataset, num_workers=workers, persistent_workers=persistent, collate_fn=list
    )
    seeds, found = WorkerSeeds(loader, seed, rank), []
    for epoch in epochs:
        seeds.begin_epoch(epoch)
        found.append([tuple(one[0]) for one in loader])
    return found


def test_an_epoch_draws_the_same_whatever_came_before():
    whole = drawn([0, 1, 2])
    assert drawn([2], seed=3) == whole[2:]
    assert drawn([1, 2], persistent=False) == whole[1:]
    flat = [value for epoch in whole for one in epoch for value in (one[1], *one[2])]
    assert len(set(flat)) == len(flat) == 3 * 6 * 3  # nothing comes twice


def test_seed_and_rank_count():
    ((first, *_),) = drawn([0])
    for other in (dict(seed=4), dict(rank=1)):
        ((found, *_),) = drawn([0], **other)
        assert all(a != b for a, b in zip(first[1:], found[1:], strict=True))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda one: RepeatDataset(one, 2),
        lambda one: ConcatDataset([one, Drawing(pipeline=[draw])]),
    ],
    ids=['repeated', 'two parts'],
)
def test_wrapped_datasets(wrap):
    """A part that is reached late in an epoch does not begin it again."""
    first, second = drawn([0, 1], wrap=wrap)
    assert drawn([1], wrap=wrap) == [second]
    flat = [value for one in first + second for value in (one[1], *one[2])]
    assert len(set(flat)) == len(flat) == 2 * 12 * 3


def test_the_process_itself_is_left_alone():
    random.seed(5)
    state = random.getstate()
    drawn([0, 1], persistent=False, workers=1)
    assert random.getstate() == state
