# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The comparison of tools/predict.py with tools/test.py."""

import json
import pickle
import sys

import pytest
import torch
from forked_tool import run_forked
from tiny_checkpoint import write_checkpoint
from tiny_run import ROOT, VAL

FOLDER = ROOT / 'tools' / 'benchmarks'


@pytest.fixture
def inference(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import inference

    yield inference
    for name in ('inference', 'machine'):
        sys.modules.pop(name, None)


def test_the_whole_benchmark(inference, voc_folder, tmp_path, monkeypatch, capsys):
    """With both tools as processes of their own, forked."""
    photos = voc_folder(tmp_path / 'voc', {'val': VAL})
    checkpoint, config = write_checkpoint(tmp_path, photos)
    seconds = iter((0.0, 3.0, 3.0, 5.0))  # of both tools; forks are no children of this process
    monkeypatch.setattr(inference, '_children_seconds', lambda: next(seconds))
    monkeypatch.setattr(
        inference.subprocess, 'run', lambda words, **_: run_forked(*words[1:], cwd=tmp_path)
    )
    words = [
        '--photos',
        '3',
        '--repeats',
        '1',
        '--latency',
        '2',
        '--out',
        tmp_path / 'b' / 'a.json',
    ]
    inference.main([*map(str, (config, checkpoint, *words))])
    figures = json.loads((tmp_path / 'b' / 'a.json').read_text())
    assert figures['photos'] == figures['same_labels'] == 3
    assert figures['largest_score_difference'] <= 1e-6
    assert all(len(figures[name]['wall']) == 1 for name in ('test', 'predict'))
    assert 0 < figures['latency_ms']['least'] <= figures['latency_ms']['median']
    printed = ' '.join(capsys.readouterr().out.split())
    assert '3 of 3 photos have the same labels' in printed
    assert 'by processor seconds: 1.50' in printed


def test_times_of_a_command(inference):
    """One that works for 0.2 s, and one that sleeps for 0.4 s, in which it uses no processor."""
    work = 'import time\nwhile time.process_time() < 0.2: pass'
    busy, idle = (
        inference.Command(['-c', work]),
        inference.Command(['-c', 'import time; time.sleep(0.4)']),
    )
    busy.run()
    idle.run()
    assert busy.cpu[0] >= 0.2
    assert idle.wall[0] - idle.cpu[0] >= 0.39 and idle.cpu[0] > 0


def test_differences_are_seen(inference, tmp_path):
    tested = [
        dict(img_path=name, pred_label=torch.tensor([1, 0]), pred_score=torch.tensor([0.5, 0.5]))
        for name in 'abcd'
    ]
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(tested))
    given = {
        'a': ([1, 0], 0.5, []),
        'b': ([0, 1], 0.5, []),
        'c': ([0, 1], 0.25, None),
        'd': ([1], 0.5, []),
    }
    records = [
        dict(photo=name, label_ids=ids, path=path, marginals=[dict(id=0, score=score)])
        for name, (ids, score, path) in given.items()
    ]
    (tmp_path / 'a.jsonl').write_text(''.join(json.dumps(one) + '\n' for one in records))
    assert inference.compare(tmp_path / 'a.pkl', tmp_path / 'a.jsonl') == {
        'photos': 4,
        'same_labels': 2,
        'largest_score_difference': 0.25,
    }


def test_a_command_that_fails(inference):
    with pytest.raises(ValueError, match='code.py failed'):
        inference.Command(['/none/code.py']).run()
