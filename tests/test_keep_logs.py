# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'tools' / 'benchmarks'))


@pytest.fixture
def keep_logs():
    import keep_logs

    return keep_logs


def make_run(folder, seed, figure, losses=()):
    run = folder / 'config' / 'row' / f'seed{seed}'
    (run / '20260101_000000' / 'vis_data').mkdir(parents=True)
    lines = [json.dumps({'epoch': epoch, 'loss': loss, 'lr': 1.0}) for epoch, loss in losses]
    (run / '20260101_000000' / 'vis_data' / 'scalars.json').write_text('\n'.join(lines))
    training = {'seconds': 2.0, 'date': '2026-01-01', 'command': f'python {folder}/secret.py'}
    (run / 'record.json').write_text(json.dumps({'training': training}))
    figures = {'figures': {'mAP': figure}, 'completion': {}, 'folder': str(run)}
    (run / 'figures.json').write_text(json.dumps(figures))


def test_one_line_a_run_without_paths(keep_logs, tmp_path, capsys):
    first, second = tmp_path / 'first', tmp_path / 'second'
    make_run(first, 0, 10.0, [(1, 4.0), (1, 2.0), (2, 1.0)])
    make_run(first, 10, 11.0)
    make_run(second, 0, 12.0, [(1, 8.0)])
    out = tmp_path / 'logs' / 'all.jsonl'
    assert keep_logs.main([str(first), '--out', str(out)]) == 0
    runs = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(run['row'], run['seed'], run['figures']['mAP']) for run in runs] == [
        ('row', 0, 10.0),
        ('row', 10, 11.0),
    ]
    assert runs[0]['losses'] == [{'epoch': 1, 'loss': 3.0}, {'epoch': 2, 'loss': 1.0}]
    assert str(tmp_path) not in out.read_text()
    keep_logs.main([str(first), str(second), '--out', str(out)])
    runs = [json.loads(line) for line in out.read_text().splitlines()]
    assert {run['seed']: run['figures']['mAP'] for run in runs} == {0: 12.0, 10: 11.0}
    with pytest.raises(SystemExit) as error:
        keep_logs.main([str(tmp_path / 'empty'), '--out', str(tmp_path / 'none.jsonl')])
    assert error.value.code == 2
    assert 'holds no runs' in capsys.readouterr().err
    assert not (tmp_path / 'none.jsonl').exists()
