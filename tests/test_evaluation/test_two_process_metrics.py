# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two gloo processes report what one does, though their last batch is filled up."""

import csv
import json

import pytest
from process_pair import run_processes

#: Five images in two processes: the sampler gives the second one image 0 again. One image: the
#: second process has nothing but the first one's. Without filling up it has less, or nothing.
SCRIPT = """
import json, os
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import AveragePrecision
from cnnrnn_mm.evaluation import ClassTable, LabelSetMetric, RankingMetric

rank = int(os.environ.get('RANK', 0))
two = 'RANK' in os.environ
if two:
    torch.distributed.init_process_group('gloo')


def evaluate(name, samples, round_up=True, **options):
    evaluator = Evaluator(metrics=[
        LabelSetMetric(**options),
        RankingMetric(items=('mAP', 'mAP_11points', 'MAP@k', 'MAP@k_path'), **options),
        ClassTable(out_file_path=f'{name}.csv', log=False),
        AveragePrecision(),
    ])
    rows = list(DefaultSampler(range(len(samples)), shuffle=False, round_up=round_up))
    expected = len(samples) if not two else (len(samples) + 1 - rank * (not round_up)) // 2
    assert len(rows) == expected, rows
    for row in rows:
        evaluator.process([samples[row]])
    metrics = evaluator.evaluate(len(samples))
    with open(f'{name}_{rank}.json', 'w') as file:
        json.dump(metrics, file)


def sample(score, labels, truth):
    return dict(
        pred_score=score, pred_label=torch.tensor(labels), gt_label=torch.tensor(truth),
        gt_score=torch.zeros(len(score)).index_fill(0, torch.tensor(truth).long(), 1.0),
    )


torch.manual_seed(0)
scores, truth = torch.rand(5, 4), torch.rand(5, 4) > 0.5
samples = [
    sample(score, (score > 0.5).nonzero().flatten().tolist(), gt.nonzero().flatten().tolist())
    for score, gt in zip(scores, truth)
]
evaluate('random', samples, bootstrap=20)
evaluate('rest', samples, round_up=False)
evaluate('single', samples[:1])
evaluate('empty', samples[:1], round_up=False)
by_hand = [
    sample(torch.tensor(score), labels, truth) for score, labels, truth in (
        ([0.1, 0.95], [1], [0]),
        ([0.9, 0.1], [0], [0]),
        ([0.2, 0.7], [1], [1]),
        ([0.8, 0.2], [0], [0]),
        ([0.3, 0.6], [1], [1]),
    )
]
evaluate('by_hand', by_hand)
"""
NAMES = ('random', 'rest', 'single', 'empty', 'by_hand')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Where one process wrote its metrics, and where two did."""
    one, two = (tmp_path_factory.mktemp(name) for name in ('one', 'two'))
    (two / 'script.py').write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(one)
        exec(SCRIPT, {})
    run_processes(two / 'script.py', cwd=two)
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_equals_one_process(folders, name):
    one, two = folders
    alone = json.loads((one / f'{name}_0.json').read_text())
    assert len(alone) == (3 if name == 'random' else 1) * (15 + 4) + 1
    for rank in (0, 1):
        # As text: where a class has no positive, the host's mAP is NaN, which equals nothing.
        assert (two / f'{name}_{rank}.json').read_text() == json.dumps(alone)
    table = (two / f'{name}.csv').read_text()
    assert table == (one / f'{name}.csv').read_text() and table.count('\n') >= 3
    assert not [path for path in two.iterdir() if path.name.endswith('.unfinished')]


@pytest.mark.slow
def test_equals_a_calculation_by_hand(folders):
    """Image 0, the one that comes twice, is the only mistake; counted twice it would weigh more.

    Ranked by the scores of class 0: images 1+, 3+, 4, 2, 0+, an AP of (1 + 1 + 3/5) / 3; twice 0
    would give (1 + 1 + 3/5 + 4/6) / 4. Of class 1: 0, 2+, 4+, 3, 1, an AP of (1/2 + 2/3) / 2.
    """
    _, two = folders
    precision = [100 * (1 + 1 + 3 / 5) / 3, 100 * (1 / 2 + 2 / 3) / 2]
    for rank in (0, 1):
        metrics = json.loads((two / f'by_hand_{rank}.json').read_text())
        assert metrics['label-set/exact-match'] == pytest.approx(80.0)
        assert metrics['label-set/O-P'] == pytest.approx(80.0)
        assert metrics['label-set/C-R'] == pytest.approx(100 * (2 / 3 + 1) / 2)
        for name in ('ranking/mAP', 'multi-label/mAP'):
            assert metrics[name] == pytest.approx(sum(precision) / 2, abs=1e-3)
    with open(two / 'by_hand.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    names = ('positives', 'predicted', 'precision', 'recall', 'ap')
    expected = [(3, 2, 100, 100 * 2 / 3, precision[0]), (2, 3, 100 * 2 / 3, 100, precision[1])]
    assert len(rows) == 2
    for row, values in zip(rows, expected, strict=True):
        assert [float(row[name]) for name in names] == pytest.approx(values)
