# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two gloo processes report what one does, though their last batch is filled up."""

import json
import os

import pytest
from forked_tool import ForkedTool

#: Five images in two processes: the sampler gives the second one image 0 again.
SCRIPT = """
import json, os, sys
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from cnnrnn_mm.evaluation import ClassTable, LabelSetMetric, RankingMetric

rank = int(os.environ.get('RANK', 0))
if 'RANK' in os.environ:
    torch.distributed.init_process_group('gloo')
torch.manual_seed(0)
scores, truth = torch.rand(5, 4), torch.rand(5, 4) > 0.5
samples = [
    dict(pred_score=score, pred_label=(score > 0.5).nonzero(), gt_label=gt.nonzero().flatten())
    for score, gt in zip(scores, truth)
]
evaluator = Evaluator(metrics=[
    LabelSetMetric(bootstrap=20),
    RankingMetric(bootstrap=20, items=('mAP', 'mAP_11points', 'MAP@k', 'MAP@k_path')),
    ClassTable(out_file_path='classes.csv', log=False),
])
rows = list(DefaultSampler(range(5), shuffle=False))
assert len(rows) == (3 if 'RANK' in os.environ else 5), rows
for row in rows:
    evaluator.process([samples[row]])
metrics = evaluator.evaluate(5)
with open(f'metrics_{rank}.json', 'w') as file:
    json.dump(metrics, file)
"""


def start(folder, rank):
    script = folder / 'script.py'
    script.write_text(SCRIPT)
    port = str(20000 + os.getpid() % 20000)
    master = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    return ForkedTool(script, cwd=folder, RANK=str(rank), WORLD_SIZE='2', **master)


@pytest.mark.slow
def test_equals_one_process(tmp_path, monkeypatch):
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.mkdir()
    two.mkdir()
    runs = [start(two, rank) for rank in (0, 1)]
    monkeypatch.chdir(one)
    exec(SCRIPT, {})
    for run in runs:
        done = run.finish()
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    alone = json.loads((one / 'metrics_0.json').read_text())
    assert len(alone) == 3 * (15 + 4)
    for rank in (0, 1):
        assert json.loads((two / f'metrics_{rank}.json').read_text()) == alone
    table = (two / 'classes.csv').read_text()
    assert table == (one / 'classes.csv').read_text() and table.count('\n') == 5
    assert not [path for path in two.iterdir() if path.name.endswith('.unfinished')]
