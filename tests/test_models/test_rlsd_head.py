# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Axis letters: N images, B regions, C labels, F region feature size."""

from itertools import permutations

import pytest
import torch
from mmpretrain.structures import DataSample
from region_cases import alone, make_regions, pick

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, RLSDHead
from cnnrnn_mm.models.losses import RegionProposalLoss
from cnnrnn_mm.models.necks import RegionLocalizationNeck
from cnnrnn_mm.models.regions import Regions
from cnnrnn_mm.models.sample_boxes import boxes_of

C, F = 4, 6
COUNTS = [4, 1, 3]
LABELS = [[2, 3], [], [0, 3, 1]]
WHOLE = [0.0, 0.0, 1.0, 1.0]


def build(kind=RLSDHead, num_classes=C, seed=0, **options):
    """A head whose scores lie apart."""
    torch.manual_seed(seed)
    options = dict(embed_dims=5, hidden_dims=7, dropout=0.0) | options
    head = kind(num_classes, F, **options)
    for name, value in head.named_parameters():
        if value.dim() > 1 and 'recurrent' not in name:
            torch.nn.init.normal_(value, std=0.8)
    return head.eval()


def samples(labels=LABELS, boxes=None):
    made = [DataSample(metainfo=dict(img_shape=(50, 100))) for _ in labels]
    for number, (sample, one) in enumerate(zip(made, labels, strict=True)):
        sample.set_gt_label(torch.tensor(one, dtype=torch.long))
        if boxes is not None:
            sample.set_field(torch.tensor(boxes[number]).float().view(-1, 4), 'gt_bboxes')
    return made


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('share', [True, False], ids=['shared prefixes', 'padded'])
@pytest.mark.parametrize('kind', ['LabelDecoder', 'SkipDecoder'])
def test_the_whole_image_alone_is_cnn_rnn(kind, share):
    """Losses, scores, paths and log-probabilities; the weights go by other names."""
    options = dict(marginal=dict(), share_prefixes=share, postprocessor=dict(beam_size=4))
    ours = build(label_decoder=dict(type=kind), start_from_region=False, **options)
    theirs = build(CNNRNNHead, decoder=dict(type=kind), **options)
    state = {key.replace('.inner.', '.'): value for key, value in ours.state_dict().items()}
    theirs.load_state_dict(state)
    regions = pick(make_regions(COUNTS), places=slice(1))
    feats, plain = (regions,), (regions.features[:, 0],)
    losses, expected = ours.loss(feats, samples()), theirs.loss(plain, samples())
    assert losses.keys() == expected.keys() == {'loss', 'loss_marginal'}
    for name, value in expected.items():
        close(losses[name], value)
    close(ours(feats), theirs(plain))
    for one, other in zip(ours.predict(feats), theirs.predict(plain), strict=True):
        assert one.pred_paths == other.pred_paths
        for name in ('pred_score', 'pred_path_log_probs', 'pred_step_log_probs'):
            close(one.get(name), other.get(name))
        assert one.pred_label_regions.tolist() == [WHOLE] * len(one.pred_label)


@torch.no_grad()
def test_beam_search_finds_what_the_enumeration_of_all_paths_does():
    head = build(num_classes=3, postprocessor=dict(beam_size=16, num_paths=16))
    regions = make_regions(COUNTS)
    paths = [path for size in range(4) for path in permutations(range(3), size)]
    assert len(paths) == 16
    for image, sample in enumerate(head.predict((regions,))):
        found = {}
        for path in paths:
            tokens = torch.tensor([[head.vocabulary.start, *path]])
            steps = head((alone(regions, image),), tokens)[0]
            steps = steps.log_softmax(-1)
            labels = [*path, head.vocabulary.end]
            found[path] = float(sum(steps[t, label] for t, label in enumerate(labels)))
        best = sorted(paths, key=found.get, reverse=True)
        assert list(map(tuple, sample.pred_paths)) == best
        assert sample.pred_label.tolist() == list(best[0])
        expected = torch.tensor([found[path] for path in best])
        close(sample.pred_path_log_probs, expected)


@torch.no_grad()
@pytest.mark.parametrize('kind', ['LabelDecoder', 'SkipDecoder'])
def test_a_batch_is_its_images(kind):
    """With different numbers of regions; the losses are means over the images."""
    head = build(label_decoder=dict(type=kind), marginal=dict(), fusion='logsumexp')
    regions = make_regions(COUNTS, padding=50.0)
    together, losses = head.predict((regions,)), head.loss((regions,), samples())
    each = []
    for image, sample in enumerate(together):
        one = (alone(regions, image),)
        (single,) = head.predict(one)
        assert single.pred_paths == sample.pred_paths
        for name in ('pred_score', 'pred_path_log_probs', 'pred_label_regions'):
            close(sample.get(name), single.get(name))
        each.append(head.loss(one, samples()[image : image + 1]))
    for name, value in losses.items():
        close(value, torch.stack([one[name] for one in each]).mean())


@torch.no_grad()
def test_the_marginal_branch_sees_each_region():
    for fusion in ('max', 'logsumexp'):
        head, regions = build(marginal=dict(), fusion=fusion), make_regions(COUNTS)
        _, logits = head.read_images((regions,))
        for image, count in enumerate(COUNTS):
            each = head.marginal_branch(regions.features[image, :count])
            each = each + regions.log_gates[image, :count, None]
            expected = each.amax(0) if fusion == 'max' else each.exp().mean(0).log()
            close(logits[image], expected)


def seeing_head(**options):
    """A greedy head that reads each label's score, and END's, off the feature: F is C + 1."""
    head = RLSDHead(
        C, C + 1, embed_dims=C + 1, hidden_dims=3, dropout=0.0, activation='identity',
        start_from_region=False, postprocessor=dict(beam_size=1), **options,
    ).eval()  # fmt: skip
    inner = head.decoder.inner
    torch.nn.init.zeros_(inner.output_projection.weight)
    torch.nn.init.eye_(inner.embedding.weight)
    torch.nn.init.eye_(inner.image_projection.weight)
    torch.nn.init.zeros_(inner.image_projection.bias)
    return head


@torch.no_grad()
def test_each_label_has_the_region_in_which_it_is_seen():
    """Label 0 in region 2 alone, label 1 in region 3 alone, label 3 in the whole image."""
    regions = make_regions([4, 1, 4, 2], size=C + 1, gated=False, padding=99.0)
    features = torch.zeros_like(regions.features)
    features[~regions.valid] = 99.0
    features[:, 0, C] = 5  # END
    features[0, 2, 0], features[0, 3, 1], features[0, 0, 3] = 9, 8, 7
    features[2, 3, 0], features[2, 2, 1] = 8, 9
    features[3, :2, 2] = torch.tensor([8.0, 9.0])
    gates = regions.log_gates.clone()
    gates[3, 1] = -2.0  # region 1 would be louder but for its gate
    regions = regions._replace(features=features, log_gates=gates)
    found = seeing_head().predict((regions,))
    assert [one.pred_label.tolist() for one in found] == [[0, 1, 3], [], [1, 0], [2]]
    boxes = regions.boxes
    assert torch.equal(found[0].pred_label_regions, boxes[0, [2, 3, 0]])
    assert found[1].pred_label_regions.shape == (0, 4)
    assert torch.equal(found[2].pred_label_regions, boxes[2, [2, 3]])
    assert found[3].pred_label_regions.tolist() == [WHOLE]


@torch.no_grad()
def test_the_region_of_a_label_depends_on_the_labels_before_it():
    """It is the loudest one behind START and the labels so far."""
    head = build(seed=1, recurrent='gru', postprocessor=dict(beam_size=1))
    head.decoder.inner.embedding.weight[C] = 0  # END waits until no label is likelier
    regions = make_regions([6, 5, 6], seed=4)
    steps = 0
    for row, sample in enumerate(head.predict((regions,))):
        one, path = alone(regions, row), sample.pred_label.tolist()
        image, _ = head.read_images((one,))
        for t, label in enumerate(path):
            tokens = torch.tensor([[head.vocabulary.start, *path[:t]]])
            voices = head.decoder.region_scores(image, tokens)[0][0, :, -1, label]
            loudest = int((voices + one.log_gates[0]).argmax())
            assert torch.equal(sample.pred_label_regions[t], one.boxes[0, loudest])
            steps += 1
    assert steps > 3


@torch.no_grad()
def test_no_image_has_a_label():
    regions = make_regions([3, 2], size=C + 1)
    features = torch.zeros_like(regions.features)
    features[:, 0, C] = 30
    found = seeing_head().predict((regions._replace(features=features),))
    for sample in found:
        assert sample.pred_label.numel() == 0 and sample.pred_label_regions.shape == (0, 4)


def test_what_the_samples_hold_as_truth_is_not_read():
    head, regions = build(), make_regions(COUNTS)
    bare, told = head.predict((regions,)), head.predict((regions,), samples())
    for one, other in zip(bare, told, strict=True):
        assert one.pred_paths == other.pred_paths
        assert torch.equal(one.pred_label_regions, other.pred_label_regions)
        assert not other.pred_label_regions.requires_grad


def network(**options):
    torch.manual_seed(1)
    made = RegionLocalizationNeck(F, dict(type='ProposalNetwork', **options), num_regions=4)
    for layer in (made.proposals.rpn.cls_logits, made.proposals.rpn.bbox_pred):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return made


@pytest.mark.parametrize('fusion', ['max', 'logsumexp'])
def test_image_labels_alone_train_features_boxes_and_objectness(fusion):
    """Objectness through the gates alone, the boxes through the sampling alone."""
    neck, head = network(), build(fusion=fusion).train()
    torch.manual_seed(2)
    maps = torch.randn(3, F, 6, 6, requires_grad=True)
    feats = neck((maps,))
    head.loss(feats, samples())['loss'].backward()
    assert maps.grad.abs().amax((1, 2, 3)).min() > 0
    for layer in ('cls_logits', 'bbox_pred'):
        assert neck.proposals.get_submodule(f'rpn.{layer}').weight.grad.abs().max() > 1e-6, layer
    # Without the gates nothing is said of objectness.
    neck.zero_grad()
    (regions,) = neck((maps,))
    gates = regions.log_gates.detach()
    head.loss((regions._replace(log_gates=gates),), samples())['loss'].backward()
    objectness = neck.proposals.rpn.cls_logits.weight.grad
    assert objectness is None or not objectness.any()
    assert neck.proposals.rpn.bbox_pred.weight.grad.any()


BOXES = [[[10, 10, 50, 40]], [], [[0, 0, 100, 50], [60, 5, 90, 45]]]


def test_the_region_loss_is_added():
    neck, loss = network(), dict(anchors_per_image=8, loss_weight=0.5)
    plain, trained = build(), build(region_loss=loss)
    torch.manual_seed(2)
    feats = neck((torch.randn(3, F, 6, 6),))
    torch.manual_seed(3)
    losses = trained.loss(feats, samples(boxes=BOXES))
    torch.manual_seed(3)  # of the anchors that are drawn
    shares = [boxes_of(sample, 'gt_bboxes') for sample in samples(boxes=BOXES)]
    assert shares[0].tolist() == [pytest.approx([0.1, 0.2, 0.5, 0.8])]
    expected = RegionProposalLoss(**loss)(feats[0].proposals, shares)
    expected['loss'] = plain.loss(feats, samples())['loss']
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        close(losses[name], value)
        assert value > 0
    losses['loss_objectness'].backward()
    assert neck.proposals.rpn.cls_logits.weight.grad.any()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(decoder=dict(type='SkipDecoder')), 'RLSDHead has a RegionDecoder: .*label_decoder'),
        (
            dict(label_decoder=dict(type='ChainDecoder'), marginal=dict()),
            'ChainDecoder gives no scores that .*: let label_decoder be LabelDecoder or SkipDec',
        ),
        (dict(label_decoder=dict(type='SkipDecoder')), r'has none: set marginal=dict\(\)'),
        (dict(fusion='loudest'), "fusion 'loudest' is not known: choose one of max"),
    ],
)
def test_parts_that_do_not_fit(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        build(**options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'feats, message',
    [
        ((torch.zeros(3, F),), 'give no regions: put a RegionLocalizationNeck in front of RLSD'),
        ((torch.zeros(3, F, 4, 4),), 'give no regions: put a RegionLocalizationNeck'),
        ((make_regions(COUNTS, size=9),), 'in_channels=6, but .* of 9 channels: set in_channels=9'),
        ((make_regions(COUNTS),), 'region_loss trains a proposal network.*or region_loss=None'),
    ],
    ids=['vectors', 'maps', 'channels', 'no network'],
)
def test_features_that_do_not_fit(feats, message):
    head = build(region_loss=dict())
    with pytest.raises(UsageError, match=message) as caught:
        head.loss(feats, samples(boxes=BOXES))
    assert '\n' not in str(caught.value)
    if isinstance(feats[0], Regions) and feats[0].features.shape[-1] == F:
        return  # prediction needs no proposal network
    with pytest.raises(UsageError, match=message):
        head.predict(feats)


def test_boxes_that_are_missing():
    with pytest.raises(UsageError, match='no gt_bboxes: set boxes=True in the dataset'):
        build(region_loss=dict()).loss(network()((torch.randn(3, F, 4, 4),)), samples())


def patches(number, seed):
    """Maps (N, F, 8, 8) with a bright patch of 2 x 2 cells in channel l for each label l."""
    generator = torch.Generator().manual_seed(seed)
    maps = 0.1 * torch.randn(number, F, 8, 8, generator=generator)
    labels, centres = [], []
    for image in range(number):
        shown = torch.rand(C, generator=generator).lt(0.4).nonzero().flatten().tolist()
        places = torch.randint(0, 7, (C, 2), generator=generator)
        for label in shown:
            x, y = places[label].tolist()
            maps[image, label, y : y + 2, x : x + 2] += 3
        labels.append(shown)
        centres.append((places + 1) / 8)  # (C, 2), x before y
    return maps, labels, centres


def test_training_finds_the_patches():
    """From image labels alone: the labels, and the windows in which they are seen."""
    torch.manual_seed(0)
    neck = RegionLocalizationNeck(
        F, dict(type='GridProposals', levels=(4,)), num_regions=16, sample_size=4
    )
    head = RLSDHead(C, F, embed_dims=16, hidden_dims=16, dropout=0.0)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    maps, labels, _ = patches(48, seed=1)
    losses = []
    for _ in range(80):
        loss = head.loss(neck((maps,)), samples(labels))['loss']
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    maps, labels, centres = patches(40, seed=2)
    with torch.no_grad():
        found = head.eval().predict(neck((maps,)))
    right = [
        sorted(one.pred_label.tolist()) == true for one, true in zip(found, labels, strict=True)
    ]
    inside, areas = [], []
    for sample, centre in zip(found, centres, strict=True):
        for label, box in zip(sample.pred_label.tolist(), sample.pred_label_regions, strict=True):
            inside.append(
                bool((box[:2] <= centre[label]).all() and (centre[label] <= box[2:]).all())
            )
            areas.append(float((box[2:] - box[:2]).prod()))
    assert sum(right) > 0.8 * len(right)
    assert sum(inside) > 0.9 * len(inside)
    assert sum(areas) < 0.3 * len(areas)  # not the whole image
