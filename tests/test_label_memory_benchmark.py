# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The benchmark of label memory counts what it says it counts."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
from forked_tool import run_forked

FOLDER = Path(__file__).resolve().parents[1] / 'tools' / 'benchmarks'


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import label_memory_rows

    return label_memory_rows


def test_drawn_label_sets_are_sets_of_about_five(rows):
    ids, starts = rows.draw_labels(4000, 1000, 0)
    sets = [ids[a:b].tolist() for a, b in zip(starts[:-1], starts[1:], strict=True)]
    assert len(sets) == 4000 and starts[-1] == len(ids)
    assert all(one and one == sorted(set(one)) and one[-1] < 1000 for one in sets)
    assert 4.5 < len(ids) / 4000 <= 5.1
    counts = np.bincount(ids, minlength=1000)
    assert counts[:10].min() > 3 * counts[500:].max()  # some frequent, most rare
    again, other = (rows.draw_labels(50, 1000, seed)[0] for seed in (0, 1))
    assert np.array_equal(again, rows.draw_labels(50, 1000, 0)[0])
    assert not np.array_equal(again, other)


def test_the_dataset_holds_what_was_drawn(rows):
    ids, starts = rows.draw_labels(300, 40, 0)
    made = rows.DrawnDataset(ids, starts, 40)
    assert len(made) == 300 and len(made.metainfo['classes']) == 40
    for row in (0, 1, 150, 299):
        expected = ids[starts[row] : starts[row + 1]].tolist()
        assert made.get_data_info(row)['gt_label'] == expected

    found = rows.measure('storage', 300, 40, 0)
    assert list(found['steps']) == ['table', 'dataset', 'label order']
    assert found['label_count'] == len(ids) and found['one_hot_bytes'] == 12000
    assert found['csr_bytes'] == 4 * len(ids) + 8 * 301
    assert found['serialised_bytes'] == made.data_bytes.nbytes + made.data_address.nbytes
    assert found['serialised_bytes'] > 30 * 300


@pytest.fixture
def _no_garbage():
    """A search for garbage in a fork would copy every page that earlier tests have left."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures('_no_garbage')
def test_memory_of_a_forked_process_is_its_own(rows):
    kept = []
    taken = rows._in_fork(lambda: kept.append(np.ones(40 * 2**20, dtype=np.uint8)))
    assert 38 < taken < 45 and not kept
    shared = np.ones(40 * 2**20, dtype=np.uint8)
    assert rows._in_fork(lambda: shared.sum()) < 5


def test_ranking_holds_scores_of_four_bytes_a_label():
    """In a process of its own: in this one, earlier tests have left memory that is used again."""
    done = run_forked(FOLDER / 'label_memory_rows.py', 'RankingMetric', 5000, 1000, 0)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    # 19 MB of scores and what the heap adds; as lists they take 160 MB
    assert 15 < found['collect']['after'] < 60
    assert found['compute']['peak'] > found['collect']['after']


def test_labels_cost_equation_5_and_nothing_else(rows, monkeypatch):
    """Forward, and backward to both factors: 6 D a step of the decoder and a label more."""
    drawn = rows.draw_labels(rows.BATCH, 50, 0)
    monkeypatch.setattr(rows, 'draw_labels', lambda *_: drawn)
    monkeypatch.setattr(rows, 'REPEATS', 1)
    few, many = (rows.measure('head', 0, labels, 0) for labels in (50, 250))
    assert few['steps'] == many['steps'] == len(drawn[0]) + rows.BATCH
    assert many['train_flops'] - few['train_flops'] == 6 * 64 * few['steps'] * 200
    assert many['parameters'] - few['parameters'] == 64 * 200
    assert few['train_milliseconds'] > 0 and few['search_milliseconds'] > 0


@pytest.mark.slow
def test_the_figures_are_printed_and_kept(rows, tmp_path, monkeypatch, capsys):
    import label_memory

    monkeypatch.setattr(label_memory, '_measure', rows.measure)
    out = tmp_path / 'new' / 'figures.json'
    monkeypatch.setattr(rows, 'REPEATS', 1)
    words = ['--images', '200', '--metric-images', '10', '--labels', '30', '--head-labels', '20']
    label_memory.main([*words, '--out', str(out)])
    kept = json.loads(out.read_text())
    assert kept['options']['images'] == 200 and kept['storage']['one_hot_bytes'] == 6000
    assert set(kept['workers']) == {'serialised', 'list of dicts'}
    assert set(kept['metrics']) == {'LabelSetMetric', 'RankingMetric'} and '20' in kept['heads']
    said = capsys.readouterr().out
    assert '200 images' in said and 'head alone' in said
    with pytest.raises(SystemExit):
        label_memory.main(['--images', '0'])
    assert 'use 1 or more' in capsys.readouterr().err
