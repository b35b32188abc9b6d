# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Heat maps of steps: against formulas written out, on many kinds of models, and what is refused.

Axis letters: T steps, h, w sides of a map.
"""

import copy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import nn
from torch.nn import functional

from cnnrnn_mm.apis.attention import SCORES, step_attention, step_maps
from cnnrnn_mm.apis.attention.target_layers import find_layer, tapped
from cnnrnn_mm.apis.trained_model import TrainedModel
from cnnrnn_mm.errors import UsageError

pytest.importorskip('captum')

CLASSES = ('bus', 'cat', 'dog', 'owl', 'pig')
C = len(CLASSES)
RESNET = dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4)
ARCH = dict(embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=16)
VIT = dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
SWIN_ARCH = dict(embed_dims=6, depths=[1, 1], num_heads=[1, 2])
SWIN = dict(type='SwinTransformer', arch=SWIN_ARCH, img_size=32, out_indices=(1,), window_size=4)
GAP = dict(type='GlobalAveragePooling')


def make(backbone=RESNET, channels=32, neck=GAP, head=None, size=32, seed=0, **more):
    """A small model with random weights, whose photos are of any size."""
    torch.manual_seed(seed)
    cfg = dict(type='cnnrnn_mm.CNNRNNHead', num_classes=C, in_channels=channels, embed_dims=8)
    cfg.update(hidden_dims=8, **(head or {}))
    model = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=cfg)
    model['data_preprocessor'] = dict(
        type='ClsDataPreprocessor', num_classes=C, mean=[120] * 3, std=[60] * 3, to_rgb=True
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build({**model, **more}).eval()
    for part in built.modules():  # statistics that are not those of the first pass
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    pipeline = [dict(type='cnnrnn_mm.LoadImage'), dict(type='Resize', scale=(size, size))]
    pipeline.append(dict(type='PackInputs'))
    return TrainedModel(built, CLASSES, pipeline, Config(dict(default_scope='mmpretrain')), 'x.pth')


def network_input(size=(32, 32), seed=0):
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def scaled(maps):
    """(T, H, W), each divided by its maximum."""
    peaks = maps.flatten(1).amax(1)
    return maps / peaks.clamp(min=1e-30)[:, None, None], peaks


def cam_by_hand(score, maps, size=(32, 32)):
    """Equations (1) and (2) of Grad-CAM for one image, and bilinear enlargement: (H, W)."""
    (gradient,) = torch.autograd.grad(score, maps, retain_graph=True)
    cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    return functional.interpolate(cam.detach(), size, mode='bilinear')[0, 0]


def log_odds_by_hand(model, feats, path):
    """log p - log(1 - p) of each label of a path and of END, under teacher forcing."""
    head = model.head
    tokens = torch.tensor([[head.vocabulary.start, *path]])
    probs = head(feats, tokens)[0].double().softmax(-1)  # (T + 1, V)
    own = torch.stack([row[token] for row, token in zip(probs, [*path, C], strict=True)])
    return torch.logit(own)


def test_grad_cam_is_the_formula_of_its_paper():
    trained, inputs, path = make(), network_input(), [3, 0, 2]
    found = step_attention(trained, inputs, path, end=True)
    model = trained.model
    (maps,) = model.backbone(inputs)
    wanted = []
    for score in log_odds_by_hand(model, model.neck((maps,)), path):
        wanted.append(cam_by_hand(score, maps))
    wanted, peaks = scaled(torch.stack(wanted))
    torch.testing.assert_close(found.peaks, peaks, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(found.maps, wanted, rtol=1e-3, atol=1e-4)
    assert (found.peaks > 0).sum() >= 2, 'a case without evidence shows nothing'
    assert found.labels == [3, 0, 2, C]
    assert found.names == ['owl', 'bus', 'dog', 'END']


class Rectified(torch.autograd.Function):
    """An activation whose backward signal is rectified, whatever went forward."""

    @staticmethod
    def forward(ctx, inputs, most):
        return inputs.clamp(0, most)

    @staticmethod
    def backward(ctx, signal):
        return signal.clamp(min=0), None


class RectifiedReLU(nn.Module):
    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, inputs):
        return Rectified.apply(inputs, self.most)


def with_rectified(model):
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.ReLU, nn.ReLU6)):
                most = 6.0 if isinstance(child, nn.ReLU6) else torch.inf
                setattr(parent, name, RectifiedReLU(most))
    return model


MOBILENET = dict(type='MobileNetV2', widen_factor=0.25, out_indices=(2,))


@pytest.mark.parametrize(('backbone', 'channels'), [(RESNET, 32), (MOBILENET, 8)])
def test_deconvolution_rectifies_the_signal_at_each_relu(backbone, channels):
    trained, inputs, path = make(backbone, channels), network_input(), [1, 4]
    found = step_attention(trained, inputs, path, 'deconvolution')
    model = with_rectified(trained.model)
    inputs = inputs.clone().requires_grad_()
    maps = model.backbone(inputs)[-1]
    wanted = []
    for score in log_odds_by_hand(model, model.neck((maps,)), path)[:-1]:
        (gradient,) = torch.autograd.grad(score, maps, retain_graph=True)
        added = (gradient * maps).relu().detach()
        (signal,) = torch.autograd.grad(maps, inputs, added, retain_graph=True)
        wanted.append(signal[0].abs().amax(0))
    wanted, peaks = scaled(torch.stack(wanted))
    assert (peaks > 0).all()
    torch.testing.assert_close(found.peaks, peaks, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(found.maps, wanted, rtol=1e-3, atol=1e-4)
    kinds = {type(part).__name__ for part in trained.model.modules()}
    assert 'RectifiedReLU' not in kinds and '_ReLU6' not in kinds, 'the model is as it was'


def test_scores_on_numbers():
    # The last column is END.
    scores = torch.tensor([[2.0, -1.0, 0.5], [9.0, 40.0, -3.0]], dtype=torch.float64)
    target = torch.tensor([0, 1])
    probs = scores.softmax(1)
    own = probs[[0, 1], target]
    torch.testing.assert_close(SCORES['log_prob'](scores, target), own.log())
    odds = SCORES['log_odds'](scores, target)
    torch.testing.assert_close(odds[0], torch.logit(own[0]))
    assert float(odds[1]) == pytest.approx(31 - np.log1p(np.exp(-12.0)), rel=1e-12)  # p is nearly 1
    assert SCORES['logit'](scores, target).tolist() == [2.0, 40.0]
    assert SCORES['against_end'](scores, target).tolist() == [1.5, 43.0]
    end = torch.tensor([2, 2])
    assert torch.equal(SCORES['against_end'](scores, end), SCORES['log_odds'](scores, end))
    assert SCORES['label_mean'](scores, target).tolist() == [0.5, 24.5]


def test_the_predicted_path_has_the_probabilities_of_the_search():
    trained, inputs = make(seed=1), network_input(seed=3)
    with torch.no_grad():
        sample = trained.model.head.predict(trained.model.extract_feat(inputs))[0]
    found = step_attention(trained, inputs, end=True)
    assert found.path == sample.pred_label.tolist()
    assert found.labels == [*found.path, C]
    np.testing.assert_allclose(found.probs, sample.pred_step_log_probs.exp(), rtol=1e-4)


@pytest.mark.parametrize('method', ['grad_cam', 'deconvolution'])
def test_a_step_does_not_depend_on_which_others_are_asked_for(method, monkeypatch):
    trained, inputs, path = make(), network_input(), [3, 0, 2, 1]
    together = step_attention(trained, inputs, path, method)
    monkeypatch.setattr(step_maps, 'ROWS', 3)
    parted = step_attention(trained, inputs, path, method)
    torch.testing.assert_close(parted.maps, together.maps, rtol=1e-3, atol=1e-4)
    for step, label in enumerate(path):
        alone = step_attention(trained, inputs, path, method, label=CLASSES[label])
        torch.testing.assert_close(alone.maps[0], together.maps[step], rtol=1e-3, atol=1e-4)
        assert alone.probs == pytest.approx([together.probs[step]], rel=1e-4)


def test_steps_differ_by_label_and_by_what_is_known():
    trained, inputs = make(), network_input()
    found = step_attention(trained, inputs, [3, 0, 2])
    assert (found.maps[0] - found.maps[1]).abs().max() > 0.05
    # The same label behind other labels is asked for at another state.
    first = step_attention(trained, inputs, [2], label=2)
    assert first.probs[0] != pytest.approx(found.probs[2], rel=1e-3)


def test_a_label_off_the_path_is_asked_for_where_it_is_most_probable():
    trained, inputs, path = make(seed=2), network_input(), [3, 0]
    feats = trained.model.extract_feat(inputs)
    tokens = torch.tensor([[trained.model.head.vocabulary.start, *path]])
    probs = trained.model.head(feats, tokens)[0].softmax(-1)[:, 4].detach()
    found = step_attention(trained, inputs, path, label='pig')
    assert found.labels == [4]
    assert found.probs == pytest.approx([float(probs.max())], rel=1e-4)


MLP = dict(marginal=dict(hidden_dims=8))
REGIONS = dict(
    type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, num_regions=4, sample_size=2,
    proposals=dict(type='GridProposals', levels=(2,)),
)  # fmt: skip
NETWORK = dict(REGIONS, proposals=dict(type='ProposalNetwork', hidden=8))
RLSD = dict(type='cnnrnn_mm.RLSDHead', recurrent='gru', label_decoder=dict(type='SkipDecoder'))
VGG = dict(type='cnnrnn_mm.VGGFullyConnected', in_channels=32, map_size=4, feature_dims=12)
FROZEN = dict(type='cnnrnn_mm.Frozen', module=MOBILENET)
KINDS = {
    'skip': dict(head=dict(decoder=dict(type='SkipDecoder'), **MLP)),
    'chain': dict(head=dict(decoder=dict(type='ChainDecoder'), **MLP)),
    'relu_lstm': dict(head=dict(recurrent='relu_lstm', activation='relu')),
    'fully connected': dict(neck=VGG, channels=12),
    'max pooling': dict(neck=dict(type='cnnrnn_mm.GlobalMaxPooling')),
    'frozen': dict(backbone=FROZEN, channels=8),
    'grid regions': dict(neck=REGIONS, head={**RLSD, **MLP}),
    'proposals': dict(neck=NETWORK, head={**RLSD, **MLP}),
}


@pytest.mark.parametrize('kind', list(KINDS))
def test_every_head_and_neck_has_maps(kind):
    trained = make(**KINDS[kind])
    path = [3, 0, 2, 1, 4]
    if kind == 'chain':
        trained.model.head.set_training_order('given', range(C))
        path = sorted(path)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    for method in ('grad_cam', 'deconvolution'):
        found = step_attention(trained, network_input(), path, method)
        assert found.maps.shape == (C, 32, 32)
        assert found.layer == 'backbone'
        assert found.maps.min() >= 0 and found.maps.max() == 1
        assert (found.peaks > 0).sum() >= 1
    assert all(one.grad is None for one in trained.model.parameters())
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize('kind', ['skip', 'chain'])
def test_what_the_marginal_branch_adds_is_explained_too(kind):
    """Some decoders cut the gradient there, which is for training alone."""
    trained, inputs, path = make(**KINDS[kind]), network_input(), [0, 2]
    head = trained.model.head
    head.set_training_order('given', range(C))
    nn.init.normal_(head.marginal_branch.classifier.weight, std=3.0)
    assert head.decoder.detach
    found = step_attention(trained, inputs, path)
    assert head.decoder.detach
    head.decoder.detach = False
    (maps,) = trained.model.backbone(inputs)
    wanted = []
    for score in log_odds_by_hand(trained.model, trained.model.neck((maps,)), path)[:-1]:
        wanted.append(cam_by_hand(score, maps))
    wanted, peaks = scaled(torch.stack(wanted))
    torch.testing.assert_close(found.peaks, peaks, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.maps, wanted, rtol=1e-3, atol=1e-3)


HOST_HEADS = {
    'linear': dict(type='MultiLabelLinearClsHead', num_classes=C, in_channels=32),
    'own linear': dict(type='cnnrnn_mm.LinearLabelHead', num_classes=C, in_channels=32),
    'csra': dict(type='CSRAClsHead', num_classes=C, in_channels=32, num_heads=1, lam=0.1),
}


@pytest.mark.parametrize('kind', list(HOST_HEADS))
def test_heads_without_paths_explain_logits(kind):
    trained = make()
    trained.model.neck = None if kind == 'csra' else trained.model.neck
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        trained.model.head = MODELS.build(HOST_HEADS[kind]).eval()
    torch.manual_seed(1)
    for weight in trained.model.head.parameters():
        nn.init.normal_(weight)
    inputs = network_input()
    found = step_attention(trained, inputs, ['dog', 'bus', 'owl'])
    maps = trained.model.backbone(inputs)[-1]
    feats = (maps,) if kind == 'csra' else trained.model.neck((maps,))
    logits = trained.model.head(feats)[0]
    wanted = []
    for label in (2, 0, 3):
        wanted.append(cam_by_hand(logits[label], maps))
    torch.testing.assert_close(found.maps, scaled(torch.stack(wanted))[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.probs, logits.sigmoid()[[2, 0, 3]].detach(), rtol=1e-4)
    with pytest.raises(UsageError, match='has no END'):
        step_attention(trained, inputs, end=True)


TRANSFORMERS = {
    'class token': (VIT, 12, None, 'backbone.layers.1.ln1'),
    'map': (dict(VIT, out_type='featmap'), 12, GAP, 'backbone'),
    'no class token': (
        dict(VIT, out_type='avg_featmap', with_cls_token=False), 12, None, 'backbone.ln1',
    ),
    'distilled': (
        dict(VIT, type='DistilledVisionTransformer', out_type='avg_featmap'),
        12, None, 'backbone.layers.1.ln1',
    ),
    'swin': (SWIN, 12, GAP, 'backbone'),
}  # fmt: skip


@pytest.mark.parametrize('kind', list(TRANSFORMERS))
def test_transformers(kind):
    backbone, channels, neck, layer = TRANSFORMERS[kind]
    trained = make(backbone, channels, neck)
    inputs = network_input((32, 48))
    found = step_attention(trained, inputs, [3, 0])
    assert found.layer == layer
    assert found.maps.shape == (2, 32, 48)
    assert (found.peaks > 0).any()
    with pytest.raises(UsageError, match='is a rule for ReLU.*has GELU'):
        step_attention(trained, inputs, [3, 0], 'deconvolution')


def test_tokens_become_the_map_that_they_are():
    trained, inputs, path = make(VIT, 12, None), network_input((32, 48)), [3, 0]
    found = step_attention(trained, inputs, path)
    model, kept = trained.model, []
    layer = model.backbone.layers[1].ln1
    layer.register_forward_hook(lambda _, __, tokens: kept.append(tokens.requires_grad_()))
    scores = log_odds_by_hand(model, model.extract_feat(inputs), path)
    wanted = []
    for score in scores[:-1]:
        (gradient,) = torch.autograd.grad(score, kept[0], retain_graph=True)
        weights = gradient[0, 1:].mean(0)  # over the 24 tokens of the image
        cam = (kept[0][0, 1:] @ weights).relu().view(1, 1, 4, 6)
        wanted.append(functional.interpolate(cam, (32, 48), mode='bilinear')[0, 0].detach())
    torch.testing.assert_close(found.maps, scaled(torch.stack(wanted))[0], rtol=1e-3, atol=1e-4)


def test_a_named_layer_is_taken_as_it_is():
    trained, inputs = make(SWIN, 12, GAP), network_input()
    for name in ('backbone.stages.0', 'backbone.stages.1.blocks.0.norm1', 'backbone.patch_embed'):
        found = step_attention(trained, inputs, [3, 0], layer=name)
        assert found.layer == name
        assert found.maps.shape == (2, 32, 32)
    coarse = step_attention(make(), inputs, [3, 0], layer='backbone.layer4')
    default = step_attention(make(), inputs, [3, 0])
    torch.testing.assert_close(coarse.maps, default.maps)
    fine = step_attention(make(), inputs, [3, 0], layer='backbone.layer2')
    assert (fine.maps - default.maps).abs().max() > 0.1
    for name in ('backbone.layer9', 'head', 'backbone.bn1.weight'):
        with pytest.raises(UsageError, match=f"layer '{name}' .*backbone"):
            step_attention(make(), inputs, [3, 0], layer=name)


@pytest.mark.parametrize('name', ['class token', 'swin'])
def test_a_tap_changes_nothing(name):
    backbone, channels, neck, _ = TRANSFORMERS[name]
    model, inputs = make(backbone, channels, neck).model, network_input()
    _, layer = find_layer(model, inputs)
    with torch.no_grad():
        before = model.extract_feat(inputs)[-1]
        with tapped(model, layer, (32, 32)) as tap:
            seen = []
            tap.register_forward_hook(lambda *args: seen.append(args[2].shape))
            during = model.extract_feat(inputs)[-1]
    assert torch.equal(before, during)
    assert [len(shape) for shape in seen] == [4]


def test_a_certain_step_has_an_empty_map():
    """Behind the last label of a chain END is certain, whatever is seen."""
    trained = make(**KINDS['chain'])
    trained.model.head.set_training_order('given', range(C))
    found = step_attention(trained, network_input(), [0, 4], end=True)
    assert found.probs[2] == 1
    assert found.maps[2].abs().max() == 0 and found.peaks[2] == 0
    assert found.maps[0].max() == 1


def test_a_label_can_be_held_against_end():
    trained, inputs, path = make(), network_input(), [3, 0, 2]
    found = step_attention(trained, inputs, path, score='against_end', end=True)
    (maps,) = trained.model.backbone(inputs)
    tokens = torch.tensor([[trained.model.head.vocabulary.start, *path]])
    scores = trained.model.head(trained.model.neck((maps,)), tokens)[0]  # (T + 1, V)
    for step, label in enumerate(path):
        score = scores[step, label] - scores[step, C]
        cam = cam_by_hand(score, maps)
        torch.testing.assert_close(found.peaks[step], cam.max(), rtol=1e-3, atol=1e-7)
    others = step_attention(trained, inputs, path, end=True)
    torch.testing.assert_close(found.maps[3], others.maps[3])
    assert (found.maps[:3] - others.maps[:3]).abs().max() > 0.01


def test_the_marginal_score_is_that_of_the_branch():
    trained, inputs = make(head=dict(marginal=dict())), network_input()
    found = step_attention(trained, inputs, [3, 0], score='marginal')
    other = step_attention(trained, inputs, [0, 3], score='marginal')
    torch.testing.assert_close(found.maps, other.maps.flip(0))  # whatever the step is
    with pytest.raises(UsageError, match='nothing of END'):
        step_attention(trained, inputs, [3, 0], score='marginal', end=True)
    with pytest.raises(UsageError, match='the head has none'):
        step_attention(make(), inputs, [3, 0], score='marginal')


def test_maps_are_drawn_on_the_photo_that_was_given():
    trained = make()
    trained.pipeline[1:2] = [dict(type='CenterCrop', crop_size=32)]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    found = step_attention(trained, pixels, ['owl', 'bus'])
    assert found.extent == pytest.approx((0.25, 0.1, 0.75, 0.9))
    assert found.maps.shape == (2, 32, 32)
    drawn = found.draw()
    assert [one.shape for one in drawn] == [(40, 64, 3)] * 2
    assert np.array_equal(drawn[0][:, :16], drawn[1][:, :16])  # outside of what is seen
    assert not np.array_equal(drawn[0][4:36, 16:48], drawn[1][4:36, 16:48])
    with pytest.raises(UsageError, match='no photo to draw on'):
        step_attention(trained, network_input(), ['owl']).draw()


def test_what_can_not_be_asked_is_refused(monkeypatch):
    trained, inputs = make(), network_input()
    for options, message in (
        (dict(method='lime'), "method 'lime' is not known: choose one of grad_cam"),
        (dict(score='luck'), "score 'luck' is not known: choose one of log_odds"),
        (dict(path=['bus', 'zebra']), "label 'zebra' is not among the model's"),
        (dict(path=[1, 5]), 'label 5 is not among'),
        (dict(path=[1, 1]), 'has a label twice'),
        (dict(label='zebra'), "label 'zebra'"),
    ):
        with pytest.raises(UsageError, match=message):
            step_attention(trained, inputs, **options)
    with pytest.raises(UsageError, match='has no ReLU layers'):
        plain = make()
        for parent in list(plain.model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.ReLU):
                    setattr(parent, name, nn.Tanh())
        step_attention(plain, inputs, [1], 'deconvolution')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        single = MODELS.build(dict(type='LinearClsHead', num_classes=C, in_channels=32))
    other = make()
    other.model.head = single
    with pytest.raises(UsageError, match='has the head LinearClsHead'):
        step_attention(other, inputs)
    monkeypatch.setitem(sys.modules, 'captum', None)
    with pytest.raises(UsageError, match=r"pip install '\.\[explain\]'"):
        step_attention(trained, inputs)


@pytest.mark.parametrize('decision', [dict(type='ThresholdDecision', thr=0.0), None])
@pytest.mark.parametrize('end_bias', [0.0, 2.0])
def test_steps_are_those_of_the_path_whatever_the_decision_and_the_bias(decision, end_bias):
    search = dict(beam_size=5, decision=decision, end_bias=end_bias)
    trained = make(head=dict(postprocessor=search))
    inputs = network_input()
    (sample,) = trained.model(inputs, mode='predict')
    found = step_attention(trained, inputs, end=True)
    path = sample.pred_paths[0]
    assert found.path == list(path) and found.labels == [*path, C]
    expected = sample.pred_step_log_probs.exp().tolist()
    assert [float(one) for one in found.probs] == pytest.approx(expected, abs=1e-5)
    if decision is not None:  # all labels, by score: no path
        assert len(sample.pred_label) == C
