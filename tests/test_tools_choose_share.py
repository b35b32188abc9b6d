# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""tools/choose_share.py and what it calls."""

import pytest
import torch
from forked_tool import run_forked
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from sklearn.metrics import average_precision_score
from tiny_run import ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.apis.share_choice import best_share, fit_share, try_shares
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, HybridHead

C, F, N = 3, 5, 30
HEAD = """
model['head'] = dict(
    type='cnnrnn_mm.HybridHead', num_classes=4, in_channels=32,
    path_head=dict(embed_dims=8, hidden_dims=8), label_head=dict(),
)
"""


def cases(seed, images=N):
    generator = torch.Generator().manual_seed(seed)
    paths, independent = torch.rand(2, images, C, generator=generator)
    return paths, independent, torch.rand(images, C, generator=generator) < paths


def nll(paths, independent, truth, share):
    pooled = (1 - share) * paths.double() + share * independent.double()
    return -torch.where(truth, pooled, 1 - pooled).clamp(min=1e-12).log().sum(0)  # (C,)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_no_share_is_more_likely(seed):
    data = cases(seed)
    (share,) = fit_share(*data).unique()
    others = torch.linspace(0, 1, 201).double()
    best = min(float(nll(*data, one).sum()) for one in others)
    assert float(nll(*data, share.double()).sum()) <= best + 1e-6


def test_shares_by_label_lean_on_that_of_all():
    data = cases(1, images=2000)
    shared, each = fit_share(*data), fit_share(*data, by_label=True)
    alone = torch.stack([fit_share(*(one[:, [label]] for one in data))[0] for label in range(C)])
    between = (each - shared) * (alone - each) >= -1e-4
    assert bool(between.all()) and not torch.equal(each, shared)
    nothing = [one[:0] for one in data]
    torch.testing.assert_close(fit_share(*nothing, by_label=True).unique(), torch.tensor([1e-3]))


def test_extreme_shares():
    paths, independent, truth = cases(2)
    right = truth.float() * 0.8 + 0.1
    assert fit_share(right, 1 - right, truth).tolist() == pytest.approx([0.0] * C)
    assert fit_share(1 - right, right, truth).tolist() == pytest.approx([1.0] * C)
    assert best_share(right, 1 - right, truth).tolist() == [0.0] * C


class Model(torch.nn.Module):
    """As much of a classifier as is asked for; its features are its inputs."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def data_preprocessor(self, batch, training):
        assert not training
        return batch

    def extract_feat(self, inputs):
        return (inputs,)


def hybrid(**options):
    torch.manual_seed(4)
    path = dict(embed_dims=8, hidden_dims=5, dropout=0.0, **options)
    head = HybridHead(C, path, dict(), F)
    for weight in head.parameters():
        torch.nn.init.normal_(weight)
    return Model(head)


def loader(images=N):
    generator = torch.Generator().manual_seed(6)
    features = torch.randn(images, F, generator=generator)
    truth = torch.rand(images, C, generator=generator) < 0.4
    for start in range(0, images, 8):
        samples = [
            DataSample().set_gt_label(one.nonzero()[:, 0]) for one in truth[start : start + 8]
        ]
        yield dict(inputs=features[start : start + 8], data_samples=samples)


def test_figures_are_those_of_the_pooled_scores():
    model = hybrid()
    before = model.head.share.clone()
    trials = {one.name: one for one in try_shares(model, loader(), folds=3)}
    assert torch.equal(model.head.share, before)
    for trial in trials.values():
        model.head.set_share(trial.share)
        scores, marks = [], []
        for batch in loader():
            scores += [one.pred_score for one in model.head.predict((batch['inputs'],))]
            marks += [
                torch.zeros(C).index_fill(0, one.gt_label, 1) for one in batch['data_samples']
            ]
        scores, marks = torch.stack(scores).detach(), torch.stack(marks)
        expected = 100 * average_precision_score(marks, scores, average='macro')
        assert trial.figures['mAP'] == pytest.approx(expected, abs=1e-3)
        bce = torch.nn.functional.binary_cross_entropy(scores, marks)
        assert trial.figures['nll'] == pytest.approx(float(bce) * C, abs=1e-4)
    for name in ('paths alone', 'label head alone', 'half'):
        assert trials[name].figures == trials[name].held_out
    assert trials['likelihood'].figures['nll'] == min(
        one.figures['nll'] for name, one in trials.items() if 'by label' not in name
    )
    assert trials['best mAP'].figures['mAP'] >= trials['half'].figures['mAP']


def test_held_out_figures_are_of_photos_that_no_share_has_seen():
    """By hand: three parts, each pooled by the shares of the other two."""
    model = hybrid()
    trials = {one.name: one for one in try_shares(model, loader(), folds=3)}
    found = {}
    for share in (0.0, 1.0):
        model.head.set_share(share)
        batches = [model.head.predict((batch['inputs'],)) for batch in loader()]
        found[share] = torch.stack([one.pred_score.detach() for some in batches for one in some])
    marks = torch.zeros(N, C, dtype=torch.bool)
    truth = [one.gt_label for batch in loader() for one in batch['data_samples']]
    for row, labels in enumerate(truth):
        marks[row, labels] = True
    values = []
    for part in range(3):
        rest = [row for row in range(N) if row % 3 != part]
        share = fit_share(found[0.0][rest], found[1.0][rest], marks[rest], by_label=True)
        values += nll(*(one[part::3] for one in (found[0.0], found[1.0], marks)), share).tolist()
    assert trials['likelihood, by label'].held_out['nll'] == pytest.approx(sum(values) / N)


def test_bad_input():
    with pytest.raises(UsageError, match='the head is a CNNRNNHead, which has no share'):
        try_shares(Model(CNNRNNHead(C, F)), loader())
    with pytest.raises(UsageError, match='4 photos for 5 parts'):
        try_shares(hybrid(), loader(4))
    with pytest.raises(UsageError, match='no photos'):
        try_shares(hybrid(), [])
    with pytest.raises(UsageError, match='folds is 1'):
        try_shares(hybrid(), loader(), folds=1)


def test_tool_stores_the_best_share_with_the_weights(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path, HEAD)
    init_default_scope('mmpretrain')
    weights = MODELS.build(cfg.model).state_dict()
    checkpoint, out = tmp_path / 'weights.pth', tmp_path / 'fitted' / 'weights.pth'
    last = {'module.head.share': weights['head.share'], 'steps': torch.tensor(1)}
    torch.save(dict(state_dict=weights, ema_state_dict=last, meta=dict(epoch=3)), checkpoint)
    tool = ROOT / 'tools' / 'choose_share.py'
    words = ['--select', 'nll', '--folds', 2, '--work-dir', tmp_path / 'work', '--out', out]
    done = run_forked(tool, tmp_path / 'tiny.py', checkpoint, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Best in nll, held out:' in done.stdout
    fitted = torch.load(out, weights_only=True)
    assert fitted['meta'] == dict(epoch=3)
    share = fitted['state_dict']['head.share']
    assert torch.equal(share, fitted['ema_state_dict']['module.head.share'])
    for name, value in weights.items():
        if name != 'head.share':
            torch.testing.assert_close(fitted['state_dict'][name], value)
    shown = done.stdout.split('Best in nll, held out:')[1].splitlines()[0].strip()
    means = {'paths alone': 0.0, 'label head alone': 1.0, 'half': 0.5}
    mean = float(share.mean())
    assert mean == means.get(shown, mean) and 0 <= mean <= 1

    del weights['head.share']
    torch.save(dict(state_dict=weights), checkpoint)
    done = run_forked(tool, tmp_path / 'tiny.py', checkpoint, *words)
    assert done.returncode == 2
    assert 'holds no head.share' in done.stderr.strip().splitlines()[-1]
