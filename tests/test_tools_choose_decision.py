# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""tools/choose_decision.py and what it calls."""

import pytest
import torch
from forked_tool import run_forked
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from tiny_run import ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.apis.decision_choice import describe_rule, try_decisions
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.evaluation import LabelSetMetric
from cnnrnn_mm.models import CNNRNNHead

C, F, N = 5, 6, 40


class Model(torch.nn.Module):
    """As much of a classifier as is asked for; its features are its inputs."""

    def __init__(self, **postprocessor):
        super().__init__()
        torch.manual_seed(0)
        self.head = CNNRNNHead(
            C, F, embed_dims=8, hidden_dims=8, dropout=0.0, postprocessor=postprocessor or None
        )
        with torch.no_grad():
            self.head.decoder.embedding.weight.mul_(2)

    def data_preprocessor(self, batch, training):
        assert not training
        return batch

    def extract_feat(self, inputs):
        return (inputs,)


def loader(batch_size=16):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(N, F, generator=generator)
    truth = [(torch.rand(C, generator=generator) < 0.4).nonzero()[:, 0] for _ in range(N)]
    for start in range(0, N, batch_size):
        part = slice(start, start + batch_size)
        samples = [DataSample().set_gt_label(one) for one in truth[part]]
        yield dict(inputs=features[part], data_samples=samples)


def measured(model):
    """Figures of the model as it is configured, through the metric."""
    metric = LabelSetMetric(items=['O-F1', 'example-F1', 'exact-match'])
    for batch in loader():
        samples = model.eval().head.predict((batch['inputs'],), batch['data_samples'])
        metric.process({}, [one.to_dict() for one in samples])
    return {name.split('/')[1]: value for name, value in metric.evaluate(N).items()}


def test_figures_are_those_of_a_model_configured_that_way():
    trials = try_decisions(Model(), loader(), end_biases=[0.0, 1.0], num_samples=64)
    assert len(trials) == 6
    for trial in trials:
        expected = measured(Model(**trial.options))
        for name, value in expected.items():
            assert trial.figures[name] == pytest.approx(value, abs=1e-4), trial.options


def test_threshold_is_the_best_one_there_is():
    trials = try_decisions(Model(), loader(), [0.0])
    tuned = [one for one in trials if one.options['decision']['type'] == 'ThresholdDecision']
    for trial, name in zip(tuned, ('O-F1', 'C-F1', 'example-F1'), strict=True):
        assert trial.tuned
        for thr in torch.linspace(0, 1, 41).tolist():
            decision = dict(type='ThresholdDecision', thr=thr)
            other = try_one(decision)
            assert trial.figures[name] >= other[name] - 1e-4


def try_one(decision):
    metric = LabelSetMetric(items=['O-F1', 'C-F1', 'example-F1'])
    model = Model(decision=decision).eval()
    for batch in loader(N):
        samples = model.head.predict((batch['inputs'],), batch['data_samples'])
        metric.process({}, [one.to_dict() for one in samples])
    return {name.split('/')[1]: value for name, value in metric.evaluate(N).items()}


def test_model_is_left_as_it_was():
    model = Model(decision=dict(type='ThresholdDecision', thr=0.3), end_bias=0.25)
    before = model.head.postprocessor.decision
    first = measured(model)
    try_decisions(model, loader(), [0.5])
    assert model.head.postprocessor.decision is before
    assert model.head.postprocessor.end_bias == 0.25
    assert measured(model) == first


def test_bad_input():
    with pytest.raises(UsageError, match='does not search for label paths'):
        try_decisions(Model(type='UnmaskedGreedyPostprocessor'), loader())
    with pytest.raises(UsageError, match='no images'):
        try_decisions(Model(), [])


def test_tool_writes_a_config_that_answers_in_the_best_way(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path)
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    checkpoint = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), checkpoint)
    out = tmp_path / 'chosen.py'
    done = run_forked(
        ROOT / 'tools' / 'choose_decision.py', tmp_path / 'tiny.py', checkpoint, '--select',
        'example-F1', '--out', out, '--work-dir', tmp_path / 'work',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    chosen = Config.fromfile(out).model.head.postprocessor
    assert chosen.beam_size == 3  # of the config that it builds on
    assert f'Best in example-F1: {describe_rule(chosen)}' in done.stdout.replace('\n', ' ')
