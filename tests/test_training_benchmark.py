# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The training benchmark: both ways agree, what it counts, what it times, what it writes."""

import io
import json
import sys
import time
from pathlib import Path

import pytest
import torch
from feature_cache import write_cache
from rich.console import Console

FOLDER = Path(__file__).resolve().parents[1] / 'tools' / 'benchmarks'
FEATURES = torch.arange(20.0).view(5, 4)
LABELS = [[2, 0], [], [1], [0, 1, 2], [2, 0, 1]]  # 0: 3 times, 1: 3, 2: 3


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def path(tmp_path):
    classes = ['bird', 'cat', 'dog', 'never']
    return write_cache(tmp_path / 'f' / 'train', FEATURES.unsqueeze(1), LABELS, classes).folder


def labels_of(data):
    return [sample.gt_label.tolist() for sample in data.samples]


def test_cache_is_read_and_ordered(path):
    from training_data import load_data

    data = load_data(path, 99, 'rare_first', seed=0)
    assert data.num_labels == 4 and data.source == 'f/train'
    assert torch.equal(data.features, FEATURES)
    assert labels_of(data) == [[0, 2], [], [1], [0, 1, 2], [0, 1, 2]]  # ties by class id
    assert labels_of(load_data(path, 99, 'frequent_first', 0, most=2)) == [[0, 2], []]


def test_generated_data_has_a_long_tail():
    from training_data import load_data

    data = load_data(None, 50, 'frequent_first', seed=1, most=1000)
    lists = labels_of(data)
    assert len(data.features) == len(lists) == 1000 and data.num_labels == 50
    assert 2.5 < sum(map(len, lists)) / len(lists) < 3.5
    counts = torch.bincount(torch.tensor(sum(lists, [])), minlength=50).sort().values
    assert counts[-5:].sum() > counts[:25].sum()
    assert labels_of(load_data(None, 50, 'frequent_first', seed=1, most=1000)) == lists


def test_tokens_of_an_epoch(path):
    from teacher_forcing import count_tokens
    from training_data import load_data

    data = load_data(path, 0, 'frequent_first', 0)
    # START alone 1; [0 2]; [1]; [0 1 2] twice: prefixes (), 0, 02, 1, 01, 012.
    assert vars(count_tokens(data, 5, seed=0)) == dict(padded=20, valid=14, prefixes=6)
    assert vars(count_tokens(data, 1, seed=0)) == dict(padded=14, valid=14, prefixes=14)


@pytest.mark.parametrize('recurrent', ['lstm', 'gru', 'relu_lstm'])
def test_difference_of_the_two_ways(path, recurrent):
    from teacher_forcing import largest_differences, make_heads
    from training_data import load_data

    data = load_data(None, 20, 'frequent_first', 0, most=60)
    heads = make_heads(data, 16, 24, recurrent, 0.0, seed=0)
    assert heads['shared'].share_prefixes and not heads['plain'].share_prefixes
    apart = largest_differences(list(heads.values()), data, 60, seed=0)
    assert max(apart['loss_relative'], apart['gradient_relative']) < 1e-5
    # A difference in a single weight of a gate is seen.
    with torch.no_grad():
        next(heads['shared'].decoder.recurrent.parameters())[0, 0] += 0.1
    apart = largest_differences(list(heads.values()), data, 60, seed=0)
    assert apart['loss_relative'] > 1e-7 and apart['gradient_relative'] > 1e-5


def test_an_epoch_trains(path):
    from teacher_forcing import batches, make_heads, run_epoch
    from training_data import load_data

    data = load_data(path, 0, 'frequent_first', 0)
    assert [len(samples) for _, samples in batches(data, 2, seed=0)] == [2, 2, 1]
    seen = torch.cat([features for features, _ in batches(data, 2, seed=0)])
    assert torch.equal(seen.sort(0).values, data.features) and not torch.equal(seen, data.features)
    after = []
    for head in make_heads(data, 8, 8, 'lstm', 0.0, seed=0).values():
        before = head.loss((data.features,), data.samples)['loss'].item()
        optimizer = torch.optim.SGD(head.parameters(), 0.05)
        for _ in range(40):
            run_epoch(head, optimizer, data, 5, seed=0)
        after.append(head.loss((data.features,), data.samples)['loss'].item())
        assert after[-1] < before - 1
    assert after[0] == pytest.approx(after[1], rel=1e-4)


@pytest.mark.parametrize('way', ['plain', 'shared'])
def test_time_inside_the_recurrent_layer(path, monkeypatch, way):
    """A layer that sleeps in forward and backward is charged for both, and nothing else is."""
    from teacher_forcing import make_heads, split_times
    from training_data import load_data

    class Sleep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            time.sleep(0.2)
            return value.view_as(value)

        @staticmethod
        def backward(ctx, gradient):
            time.sleep(0.3)
            return gradient

    data = load_data(path, 0, 'frequent_first', 0)
    head = make_heads(data, 8, 8, 'lstm', 0.0, seed=0)[way]
    layer = head.decoder.recurrent
    name = 'forward' if way == 'plain' else 'drive'
    original = getattr(layer, name)
    monkeypatch.setattr(layer, name, lambda value, *rest: original(Sleep.apply(value), *rest))
    inside, outside = split_times(head, data, 5, seed=0)
    assert 0.5 <= inside < inside + outside
    monkeypatch.undo()
    quiet, _ = split_times(head, data, 5, seed=0)
    assert inside - quiet > 0.4
    assert not head.decoder.embedding._forward_hooks  # nothing stays behind


def test_the_tool_writes_its_results(path, tmp_path):
    import training

    options = ['--features', path, '--batch-sizes', '2', '400', '--embed-dims', '8']
    options += ['--hidden-dims', '12', '--recurrent', 'gru', 'lstm', '--repeats', '2']
    args = training.parse_args([*options, '--threads', '1', '--out', str(tmp_path / 'out')])
    console = Console(file=io.StringIO(), width=200)
    rows = training.run(args, console)
    written = json.loads((tmp_path / 'out' / 'training.json').read_text())
    assert written['rows'] == rows
    assert {'date', 'command', 'versions', 'machine'} <= written['run'].keys()
    assert written['data'] == dict(source='f/train', images=5, labels=4)
    assert [(row['recurrent'], row['batch_size']) for row in rows] == [
        (layer, size) for layer in ('gru', 'lstm') for size in (2, 5)
    ]
    for row in rows:
        assert row['equal'] and row['gradient_absolute'] < 1e-5
        for way in ('plain', 'shared'):
            assert 0 < row[f'{way}_ms_min'] <= row[f'{way}_ms'] <= row[f'{way}_ms_max']
            assert row[f'{way}_recurrent_ms'] > 0 and row[f'{way}_rest_ms'] > 0
    shown = console.file.getvalue()
    assert 'gru' in shown and 'plain/shared' in shown and 'out' in shown


def test_ways_that_differ_end_with_status_1(path, tmp_path, monkeypatch):
    import training

    options = ['training.py', '--features', path, '--batch-sizes', '5', '--embed-dims', '8']
    options += ['--hidden-dims', '8', '--recurrent', 'gru', '--repeats', '1', '--threads', '1']
    monkeypatch.setattr(sys, 'argv', [*options, '--out', str(tmp_path / 'out')])
    assert training.main() == 0
    monkeypatch.setattr(training, 'TOLERANCE', 0.0)
    assert training.main() == 1
    monkeypatch.setattr(sys, 'argv', ['training.py', '--features', str(tmp_path / 'none')])
    with pytest.raises(SystemExit, match='2'):
        training.main()


@pytest.mark.parametrize(
    'options',
    [['--embed-dims', '8'], ['--repeats', '0'], ['--batch-sizes', '0'], ['--images', '0']],
)
def test_wrong_options(options):
    import training

    with pytest.raises(SystemExit, match='2'):
        training.parse_args(options)
