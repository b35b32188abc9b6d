# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/fit_label_order.py`` and the search it calls."""

import json
import math
import runpy

import numpy as np
import pytest
import torch
from feature_cache import write_cache
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import CLASSES, ROOT, load_config, write_config

from cnnrnn_mm.apis.label_order_search import (
    METRICS,
    easiest_first,
    rank_correlation,
    search_label_order,
)
from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.errors import UsageError

TOOL = ROOT / 'tools' / 'fit_label_order.py'
DIGEST = 'e3b0c44298fc1c14'  # of no weights
#: How clearly a feature shows each label: dog (2) always, bus (0) never.
CLEAR = (0.0, 0.6, 1.0, 0.3)


@pytest.fixture(scope='module')
def cached(tmp_path_factory):
    """Text for the tiny config: features in place of images; person (3) is the most frequent."""
    folder = tmp_path_factory.mktemp('cache')
    generator = torch.Generator().manual_seed(0)
    data = {}
    for split, count in (('train', 160), ('val', 60)):
        chance = torch.rand(count, 4, generator=generator)
        present = chance < torch.tensor([0.3, 0.4, 0.5, 0.7])
        noise = torch.rand(count, 4, generator=generator) < 0.5
        seen = torch.rand(count, 4, generator=generator) < torch.tensor(CLEAR)
        shown = present.where(seen, noise).float()
        views = torch.cat([shown, torch.zeros(count, 28)], 1).unsqueeze(1)
        labels = [one.nonzero().flatten().tolist() for one in present]
        write_cache(folder / split, views, labels, list(CLASSES))
        data[split] = str(folder / split)
    return f"""
model.update(
    type='cnnrnn_mm.FeatureClassifier', backbone=dict(type='GlobalAveragePooling'), neck=None,
    features='here', feature_shape=[32], backbone_digest={DIGEST!r}, neck_digest={DIGEST!r},
)
model['head'].update(dropout=0.0, embed_dims=16, hidden_dims=16)
data_preprocessor = dict(num_classes=4)
data = dict(type='cnnrnn_mm.FeatureDataset')
train_dataloader.update(
    batch_size=32, dataset=dict(data, features={data['train']!r}, pipeline=train_pipeline[1:])
)
val_dataloader.update(
    batch_size=32,
    dataset=dict(data, features={data['val']!r}, test_mode=True, pipeline=test_pipeline[1:]),
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.03))
train_cfg['val_interval'] = 2
"""


def test_rounds_follow_what_was_easy(cached, tmp_path):
    cfg = load_config(tmp_path, tmp_path, cached)
    before = cfg.pretty_text
    first, second = search_label_order(cfg, rounds=2, seeds=[0, 1])
    assert cfg.pretty_text == before
    assert (first.number, first.name) == (1, 'frequent_first')
    assert first.sequence == (3, 2, 1, 0) and first.correlation is None
    assert first.ease.argmax() == 2  # the label that its features give away
    assert second.sequence == easiest_first(first.ease, first.sequence)
    assert second.sequence[0] == 2 and second.name == 'easiest_first'
    assert second.correlation == pytest.approx(
        rank_correlation(first.sequence, second.sequence), abs=1e-9
    )
    for one in (first, second):
        assert all(len(one.scores[metric]) == 2 for metric in METRICS)
        assert one.mean('mAP') == pytest.approx(np.mean(one.ease), abs=1e-6)
        assert one.scores['mAP'][0] != one.scores['mAP'][1]  # two seeds
        assert 0 < one.mean('O-F1') <= 100
    # The second round was trained in its order: OrderLabels takes what the round gives.
    arguments = second.arguments()
    assert json.loads(json.dumps(arguments)) == arguments
    transform = OrderLabels(**arguments)
    transform.fit([1] * 4, list(CLASSES))
    assert tuple(transform.sequence.tolist()) == second.sequence
    assert not list(tmp_path.rglob('*.pth'))
    assert sorted(one.name for one in (tmp_path / 'work').iterdir()) == ['order_1', 'order_2']


def test_recall_and_an_order_that_comes_back(cached, tmp_path):
    """To a model that names no label all classes are as hard, and the order stays."""
    cfg = load_config(tmp_path, tmp_path, cached + "\noptim_wrapper['optimizer']['lr'] = 0.0\n")
    cfg.train_cfg.max_epochs = 1
    cfg.model.head.postprocessor.constraints = dict(max_length=0)
    (only,) = search_label_order(cfg, rounds=3, measure='recall')
    assert only.ease.tolist() == [0.0] * 4
    assert only.arguments()['given'] == ['person', 'dog', 'cat', 'bus']


def test_a_new_order_for_each_image_has_none(cached, tmp_path):
    text = cached + "\ntrain_dataloader['dataset']['pipeline'][0] = dict(\n"
    text += "    type='cnnrnn_mm.OrderLabels', order='random', seed=3)\n"
    cfg = load_config(tmp_path, tmp_path, text)
    cfg.train_cfg.max_epochs = 1
    first, second = search_label_order(cfg, rounds=2)
    assert first.sequence is None and first.arguments() == {'order': 'random'}
    assert second.correlation is None
    assert second.sequence == easiest_first(first.ease, range(4))


def run_here(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool_writes_the_best_order(cached, tmp_path, monkeypatch, capsys):
    config, out = (
        write_config(tmp_path, tmp_path / 'tiny.py', cached),
        tmp_path / 'a' / 'order.json',
    )
    work = ('--work-dir', tmp_path / 'work')
    run_here(monkeypatch, config, '--rounds', 2, '--select', 'O-F1', '--out', out, *work)
    printed = capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written['order'] == 'given' and sorted(written['given']) == sorted(CLASSES)
    rows = printed[printed.rindex('validation split') :].splitlines()
    rows = [[cell.strip() for cell in row.split('│')[1:-1]] for row in rows if '│' in row]
    assert [row[1] for row in rows] == ['frequent_first', 'easiest_first']
    best = max(range(2), key=lambda index: float(rows[index][3]))
    assert [row[0] for row in rows] == [f'{n + 1}{"*" * (n == best)}' for n in range(2)]
    assert rows[0][6] == '-' and -1 <= float(rows[1][6]) <= 1
    assert f'Round {best + 1} names first: {", ".join(written["given"])}' in printed
    assert f'Round {best + 1} has the best O-F1; its order: {out}' in printed
    assert [one.name for one in out.parent.iterdir()] == ['order.json']


def test_mistakes_are_one_line(cached, tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, tmp_path / 'tiny.py', cached)
    work = ('--work-dir', tmp_path / 'work')
    for options, line in (
        (['--rounds', '0'], 'error: rounds is 0: set it to 1 or more\n'),
        (['--out', str(config / 'order.json')], f'error: cannot make the folder {config}'),
    ):
        with pytest.raises(SystemExit) as ended:
            run_here(monkeypatch, config, *work, *options)
        assert ended.value.code == 2 and capsys.readouterr().err.startswith(line)


def change_loss(cfg):
    cfg.model.head.loss = dict(type='cnnrnn_mm.LabelSetLoss')


def change_pipeline(cfg):
    del cfg.train_dataloader.dataset.pipeline[0]


def change_task(cfg):
    cfg.train_dataloader.dataset.pipeline[0].task = 'a'


def change_val(cfg):
    cfg.val_dataloader = None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (change_loss, 'LabelSetLoss learns no label order'),
        (change_pipeline, 'no OrderLabels in the training pipeline'),
        (change_task, 'without task'),
        (change_val, 'no val_dataloader'),
    ],
)
def test_configs_without_one_order_are_refused(cached, tmp_path, change, message):
    cfg = load_config(tmp_path, tmp_path, cached)
    change(cfg)
    with pytest.raises(UsageError, match=message):
        next(search_label_order(cfg))
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(seeds=[]), 'name at least one'),
        (dict(seeds=[1, 1]), 'each once'),
        (dict(measure='F1'), 'choose from AP, recall'),
    ],
)
def test_options_out_of_range(cached, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        next(search_label_order(load_config(tmp_path, tmp_path, cached), **options))


def test_easiest_first():
    ease = [50.0, math.nan, 80.0, 50.0, math.nan, 0.0]
    assert easiest_first(ease, [3, 4, 5, 1, 0, 2]) == (2, 3, 0, 5, 4, 1)
    assert easiest_first(ease, range(6)) == (2, 0, 3, 5, 1, 4)


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_rank_correlation(first, second):
    """The textbook's formula."""
    places = [(first.index(label), second.index(label)) for label in range(7)]
    gaps = sum((one - other) ** 2 for one, other in places)
    assert rank_correlation(first, second) == pytest.approx(1 - 6 * gaps / (7 * 48))
    assert rank_correlation(first, first) == pytest.approx(1)
    assert rank_correlation(first, first[::-1]) == pytest.approx(-1)
