# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Axis letters: N images, F channels of the map."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import FeatureRegionClassifier, RegionClassifier
from cnnrnn_mm.models.constant_features import weights_digest

BACKBONE = dict(
    type='cnnrnn_mm.Frozen',
    module=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
)
HEAD = dict(
    type='cnnrnn_mm.RLSDHead', num_classes=3, in_channels=32, embed_dims=4, hidden_dims=4,
    dropout=0.0, fusion='logsumexp',
)  # fmt: skip
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = [[0, 2], [], [1]]
BOXES = [[[0, 0, 16, 20]], [], [[8, 8, 30, 32], [0, 16, 32, 32]]]


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def neck_of(source):
    return dict(
        type='cnnrnn_mm.RegionLocalizationNeck',
        in_channels=32,
        proposals=dict(type=f'cnnrnn_mm.{source}'),
        num_regions=4,
        sample_size=3,
    )


def build(kind, source='GivenProposals', neck=None, **options):
    torch.manual_seed(0)
    neck = neck_of(source) if neck is None else neck
    model = MODELS.build(dict(type=kind, backbone=BACKBONE, neck=neck, head=HEAD, **options))
    for name, value in model.named_parameters():
        if not name.startswith('backbone') and value.dim() > 1:
            torch.nn.init.normal_(value, std=0.05 if name.startswith('neck') else 0.5)
    return model.eval()


def samples(proposals=True):
    made = []
    for labels, boxes in zip(LABELS, BOXES, strict=True):
        sample = DataSample(metainfo=dict(img_shape=(32, 32)))
        sample.set_gt_label(torch.tensor(labels, dtype=torch.long))
        if proposals:
            sample.set_field(torch.tensor(boxes).float().view(-1, 4), 'proposals')
        made.append(sample)
    return made


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.pred_paths == other.pred_paths
        torch.testing.assert_close(one.pred_score, other.pred_score)
        torch.testing.assert_close(one.pred_label_regions, other.pred_label_regions)


@torch.no_grad()
@pytest.mark.parametrize('source', ['GridProposals', 'ProposalNetwork'])
def test_other_sources_of_regions_need_no_samples(source):
    """It is then the host's classifier."""
    ours, host = build('cnnrnn_mm.RegionClassifier', source), build('ImageClassifier', source)
    host.load_state_dict(ours.state_dict())
    losses, expected = (model(IMAGES, samples(False), mode='loss') for model in (ours, host))
    assert losses.keys() == expected.keys() == {'loss'}
    torch.testing.assert_close(losses['loss'], expected['loss'])
    equal(ours.predict(IMAGES), host.predict(IMAGES))
    equal(ours.predict(IMAGES, samples(False)), host.predict(IMAGES))


@torch.no_grad()
def test_the_samples_proposals_are_the_regions():
    model = build('cnnrnn_mm.RegionClassifier')
    (regions,) = model.locate(IMAGES, samples())
    assert regions.valid.sum(1).tolist() == [2, 1, 3]
    assert regions.boxes[2, 1].tolist() == [0.25, 0.25, 0.9375, 1.0]
    loss = model(IMAGES, samples(), mode='loss')['loss']
    torch.testing.assert_close(loss, model.head.loss((regions,), samples())['loss'])
    equal(model(IMAGES, samples(), mode='predict'), model.head.predict((regions,)))
    other = samples()
    other[0].proposals = other[0].proposals + 10
    assert float((loss - model.loss(IMAGES, other)['loss']).abs()) > 1e-4


def test_without_samples_or_in_the_host_s_classifier():
    with pytest.raises(UsageError, match="needs the data samples.*type='cnnrnn_mm.RegionClassi"):
        build('cnnrnn_mm.RegionClassifier').predict(IMAGES)
    with pytest.raises(UsageError, match="set type='cnnrnn_mm.RegionClassifier' for the model"):
        build('ImageClassifier').loss(IMAGES, samples())
    with pytest.raises(UsageError, match='data sample of image .* has no proposals: add dict'):
        build('cnnrnn_mm.RegionClassifier').loss(IMAGES, samples(False))


@pytest.mark.parametrize('neck', [dict(type='GlobalAveragePooling'), None])
def test_necks_that_take_no_samples(neck):
    with pytest.raises(UsageError, match="RegionLocalizationNeck.*or set type='ImageClassifier'"):
        MODELS.build(
            dict(type='cnnrnn_mm.RegionClassifier', backbone=BACKBONE, neck=neck, head=HEAD)
        )


def cached(model, kind, source):
    """The same model on the maps of its backbone, and these maps."""
    with torch.no_grad():
        maps = model.eval().extract_feat(IMAGES, stage='backbone')[-1]
    ours = build(
        f'cnnrnn_mm.{kind}', source, features='data/f', feature_shape=maps.shape[1:],
        backbone_digest=weights_digest(model.backbone), neck_digest=weights_digest(None),
    )  # fmt: skip
    ours.load_state_dict(model.state_dict())
    return ours, maps


@pytest.mark.parametrize(
    'kind, source',
    [
        ('Classifier', 'GridProposals'),
        ('Classifier', 'ProposalNetwork'),
        ('RegionClassifier', 'GivenProposals'),
    ],
)
def test_on_cached_maps_as_on_images(kind, source):
    """Losses, gradients and predictions; the neck runs, and trains where it has weights."""
    name = 'ImageClassifier' if kind == 'Classifier' else f'cnnrnn_mm.{kind}'
    model = build(name, source)
    ours, maps = cached(model, f'Feature{kind}', source)
    assert isinstance(ours, (FeatureRegionClassifier, RegionClassifier)) == (kind != 'Classifier')
    equal(ours.predict(maps, samples()), model.predict(IMAGES, samples()))
    losses = [one.train().loss(x, samples())['loss'] for one, x in ((model, IMAGES), (ours, maps))]
    torch.testing.assert_close(*losses)
    sum(losses).backward()
    grads = dict(model.named_parameters())
    trained = 0
    for name, value in ours.named_parameters():
        if value.requires_grad and grads[name].grad is not None:
            torch.testing.assert_close(value.grad, grads[name].grad)
            trained += name.startswith('neck.') and bool(value.grad.any())
    assert trained == 6 * (source == 'ProposalNetwork')


def test_maps_of_another_shape_or_of_other_weights():
    model = build('cnnrnn_mm.RegionClassifier')
    ours, maps = cached(model, 'FeatureRegionClassifier', 'GivenProposals')
    with pytest.raises(UsageError, match='not that of features'):
        ours.loss(IMAGES, samples())
    next(ours.backbone.parameters()).data.add_(0.1)
    with pytest.raises(UsageError, match='other weights of the backbone'):
        ours.loss(maps, samples())
