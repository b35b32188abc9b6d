# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch.autograd import gradcheck
from torchvision.ops import roi_align

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.necks import RegionLocalizationNeck
from cnnrnn_mm.models.necks.region_localization_neck import sample_regions

WHOLE = [0.0, 0.0, 1.0, 1.0]


def neck(source='GridProposals', in_channels=4, seed=0, **options):
    torch.manual_seed(seed)
    options = dict(num_regions=6, sample_size=3) | options
    made = RegionLocalizationNeck(in_channels, dict(type=source), **options)
    for name, value in made.named_parameters():
        if name.endswith('weight'):
            torch.nn.init.normal_(value, std=0.3)
    return made


def samples(*boxes):
    """Of images of 100 x 100 pixels."""
    made = []
    for one in boxes:
        sample = DataSample(metainfo=dict(img_shape=(100, 100)))
        sample.set_field(torch.tensor(one, dtype=torch.float32).reshape(-1, 4) * 100, 'proposals')
        made.append(sample)
    return made


def random_boxes(*shape, low=0.0, high=1.0):
    """Of at least a tenth of the image a side."""
    ends = torch.rand(*shape, 2, 2).sort(-2).values * (high - low - 0.1) + low
    ends[..., 1, :] += 0.1
    return ends.flatten(-2)


@pytest.mark.parametrize('size', [1, 2, 7])
def test_sampling_equals_roi_align(size):
    """Inside the outermost cells' centres, on maps that are not square."""
    torch.manual_seed(0)
    maps, boxes = torch.randn(2, 3, 8, 13), random_boxes(2, 5, low=0.07, high=0.93)
    pixels = boxes * torch.tensor([13.0, 8.0, 13.0, 8.0])
    expected = roi_align(maps, list(pixels), size, sampling_ratio=1, aligned=True)
    ours = sample_regions(maps, boxes, size)
    torch.testing.assert_close(ours.flatten(0, 1), expected, rtol=1e-4, atol=1e-5)


def test_the_whole_image_is_the_map_itself():
    maps = torch.randn(2, 3, 5, 5)
    ours = sample_regions(maps, torch.tensor(WHOLE).expand(2, 1, 4), 5)
    torch.testing.assert_close(ours[:, 0], maps, rtol=1e-5, atol=1e-6)


def test_rows_and_columns_by_hand():
    """The right half of the second row of a 2 x 4 map, two bins a side."""
    maps = torch.arange(8.0).view(1, 1, 2, 4)
    ours = sample_regions(maps, torch.tensor([[[0.5, 0.5, 1.0, 1.0]]]), 2)
    # Columns at the centres of cells 2 and 3; rows at 5/8 and 7/8, the second behind the centre.
    torch.testing.assert_close(ours[0, 0, 0], torch.tensor([[5.0, 6.0], [6.0, 7.0]]))


def test_gradients_equal_finite_differences():
    """In the map and in the boxes, away from the cells' centres, where bilinear maps have kinks."""
    torch.manual_seed(3)
    maps = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    boxes = random_boxes(2, 3).double().requires_grad_()
    assert gradcheck(lambda *both: sample_regions(*both, 3), (maps, boxes), eps=1e-7)


def bright_map(side=24, centre=(0.5, 0.5), width=0.12):
    """One bright object: a bump around its centre (x, y)."""
    places = (torch.arange(side) + 0.5) / side
    x, y = places.view(1, -1) - centre[0], places.view(-1, 1) - centre[1]
    return torch.exp(-(x**2 + y**2) / (2 * width**2)).view(1, 1, side, side)


@pytest.mark.parametrize('x, y', [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1)])
def test_a_misplaced_box_moves_to_the_object(x, y):
    """A loss that wants brightness pulls it in the right direction, and nearer step by step."""
    maps, target = bright_map(), torch.tensor([0.5, 0.5])
    centre = target + 0.2 * torch.tensor([x, y])
    box = torch.cat([centre - 0.1, centre + 0.1]).requires_grad_()

    def distance():
        return float((box.detach()[:2] + box.detach()[2:] - 2 * target).norm() / 2)

    distances = [distance()]
    for step in range(12):
        loss = -sample_regions(maps, box.view(1, 1, 4), 7).mean()
        (gradient,) = torch.autograd.grad(loss, box)
        if not step:
            pull = -(gradient[:2] + gradient[2:])
            assert torch.equal(pull.sign() * (pull.abs() > 1e-4), -torch.tensor([x, y]).float())
        with torch.no_grad():
            box -= 0.01 * gradient
        distances.append(distance())
    assert all(after < before for before, after in zip(distances, distances[1:], strict=False))
    assert distances[-1] < 0.6 * distances[0]


def test_image_level_loss_trains_the_proposal_network():
    """The gradient of a region's brightness alone, through sampling, clipping and decoding."""
    torch.manual_seed(0)
    maps = torch.cat([bright_map(12, (0.6, 0.55)), torch.randn(1, 3, 12, 12)], 1)
    made = RegionLocalizationNeck(
        4, dict(type='ProposalNetwork', anchor_sizes=(0.3,), aspect_ratios=(1.0,)), 1
    )
    # Only the box layer learns; the one anchor that scores is misplaced, at (0.375, 0.375).
    for value in made.proposals.rpn.parameters():
        value.requires_grad_(False)
    deltas = made.proposals.rpn.bbox_pred
    deltas.bias.requires_grad_(True)
    forced = torch.full((12, 12), -9.0)
    forced[4, 4] = 9.0
    made.proposals.rpn.cls_logits.register_forward_hook(
        lambda module, inputs, output: output * 0 + forced
    )
    optimiser = torch.optim.SGD([deltas.bias], lr=0.2)
    distances = []
    for _ in range(20):
        (regions,) = made((maps,))
        assert regions.features.shape == (1, 2, 4) and regions.valid.all()
        centre = regions.boxes[0, 1].detach().view(2, 2).mean(0)
        distances.append(float((centre - torch.tensor([0.6, 0.55])).norm()))
        optimiser.zero_grad()
        (-regions.features[0, 1, 0]).backward()
        optimiser.step()
    assert distances[0] > 0.25 and distances[-1] < 0.1


def test_regions_by_hand():
    """The whole image first, given boxes behind it; features are means of what is sampled."""
    maps = torch.randn(3, 4, 6, 6)
    given = samples([[0, 0, 0.5, 0.5]], [[0.5, 0, 1, 1], [0, 0, 1, 0.5]], [])
    (regions,) = neck('GivenProposals')((maps,), given)
    assert regions.valid.tolist() == [[True, True, False], [True] * 3, [True, False, False]]
    assert regions.boxes[:, 0].tolist() == [WHOLE] * 3
    assert regions.boxes[0].tolist() == [WHOLE, [0, 0, 0.5, 0.5], WHOLE]
    assert regions.boxes[1, 1:].tolist() == [[0.5, 0, 1, 1], [0, 0, 1, 0.5]]
    assert regions.boxes[2].tolist() == [WHOLE] * 3
    assert not regions.log_gates.any() and regions.proposals is None
    assert not regions.features[~regions.valid].any()
    # Three bins over the whole of six cells, or over three of them, sit on the cells' edges or
    # centres.
    cells = maps[0, :, :3, :3].mean((1, 2))
    torch.testing.assert_close(regions.features[0, 1], cells, rtol=1e-4, atol=1e-5)
    pooled = torch.nn.functional.avg_pool2d(maps, 2).mean((2, 3))
    torch.testing.assert_close(regions.features[:, 0], pooled, rtol=1e-4, atol=1e-5)


def test_the_whole_image_alone():
    maps = torch.randn(2, 4, 3, 5)
    (none,) = neck('GivenProposals')((maps,), samples([], []))
    (asked,) = neck(num_regions=0)((maps,))
    for regions in (none, asked):
        assert regions.features.shape == (2, 1, 4) and regions.valid.tolist() == [[True]] * 2
        assert regions.boxes.tolist() == [[WHOLE]] * 2 and regions.log_gates.tolist() == [[0]] * 2
    assert torch.equal(none.features, asked.features)


def test_no_proposal_left():
    made = neck('ProposalNetwork')
    torch.nn.init.constant_(made.proposals.rpn.bbox_pred.bias, -20.0)
    (regions,) = made((torch.randn(2, 4, 3, 3),))
    assert regions.features.shape == (2, 1, 4) and regions.valid.all()
    regions.features.sum().backward()


def test_gates_of_a_proposal_network():
    (regions,) = neck('ProposalNetwork')((torch.randn(2, 4, 3, 4),))
    assert regions.features.shape == (2, 7, 4)
    assert not regions.log_gates[:, 0].any() and (regions.log_gates[:, 1:] < 0).all()
    assert (regions.log_gates[:, 1:].diff(dim=1) <= 0).all()  # the best first
    assert regions.proposals.objectness.shape == (2, 12 * 12)
    regions.log_gates.sum().backward()


@pytest.mark.parametrize('source', ['GridProposals', 'GivenProposals', 'ProposalNetwork'])
def test_a_batch_is_its_images(source):
    made = neck(source, num_regions=30, region_neck=dict(type='GlobalMaxPooling'))
    maps = torch.randn(4, 4, 5, 3)
    given = samples([], [[0, 0, 0.3, 0.4]], random_boxes(9).tolist(), [WHOLE, [0.1, 0.1, 0.2, 0.9]])
    if source == 'ProposalNetwork':
        made.proposals.min_size = 0.3  # so that images keep different numbers
    with torch.no_grad():
        (regions,) = made((maps,), given)
        for image in range(4):
            (alone,) = made((maps[image : image + 1],), given[image : image + 1])
            count = alone.valid.shape[1]
            assert alone.valid.all() and int(regions.valid[image].sum()) == count
            for name in ('features', 'boxes', 'log_gates'):
                ours, theirs = getattr(regions, name)[image, :count], getattr(alone, name)[0]
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    if source != 'GridProposals':
        assert not regions.valid.all()


def test_what_is_not_valid_has_no_influence():
    """Neither on features nor, through the region neck, on statistics over the batch."""
    seen = []
    made = neck('GivenProposals')
    made.region_neck.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0]))
    made((torch.randn(2, 4, 5, 3),), samples([WHOLE] * 3, []))
    assert seen[0].shape == (5, 4, 3, 3)


def test_region_necks():
    maps = torch.randn(2, 4, 5, 3)
    fully = dict(type='VGGFullyConnected', in_channels=4, map_size=3, feature_dims=9)
    (regions,) = neck(region_neck=fully)((maps,))
    assert regions.features.shape == (2, 7, 9)
    (strongest,) = neck(region_neck=dict(type='cnnrnn_mm.GlobalMaxPooling'))((maps,))
    expected = sample_regions(maps, strongest.boxes, 3).amax((3, 4))
    torch.testing.assert_close(strongest.features, expected)
    with pytest.raises(UsageError, match=r'region_neck Identity makes \(4, 3, 3\)'):
        made = neck()
        made.region_neck = torch.nn.Identity()
        made((maps,))


def test_config_is_not_changed():
    proposals, region_neck = dict(type='GridProposals'), dict(type='GlobalAveragePooling')
    RegionLocalizationNeck(4, proposals, region_neck=region_neck)
    assert proposals == dict(type='GridProposals')
    assert region_neck == dict(type='GlobalAveragePooling')


@pytest.mark.parametrize(
    'feats, message',
    [
        ((torch.zeros(2, 4),), r'gets \(2, 4\): remove the neck.*GlobalAveragePooling'),
        (torch.zeros(2, 9, 4), r"gets \(2, 9, 4\).*out_type='featmap'"),
        (([torch.zeros(2, 4, 3, 3), torch.zeros(2, 4)],), 'gets list'),
        ((torch.zeros(2, 6, 3, 3),), 'in_channels of RegionLocalizationNeck is 4.*in_channels=6'),
    ],
)
def test_no_map_of_these_channels(feats, message):
    with pytest.raises(UsageError, match=message):
        neck()(feats)


def test_options_out_of_range():
    with pytest.raises(UsageError, match='sample_size is 0'):
        neck(sample_size=0)
    with pytest.raises(UsageError, match='-1 proposals are asked for: set num_regions'):
        neck(num_regions=-1)


@pytest.mark.parametrize(
    'backbone, channels, side',
    [
        (dict(type='MobileNetV2', widen_factor=0.1), 1280, 96),
        (dict(type='ResNet_CIFAR', depth=18, base_channels=8, stem_channels=8), 64, 32),
        (
            dict(
                type='VisionTransformer',
                arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
                img_size=32,
                patch_size=8,
                out_type='featmap',
            ),
            8,
            32,
        ),
    ],
)
def test_backbones_of_the_host(backbone, channels, side):
    """In the host's classifier, from a config with the types named from the host's scope."""
    torch.manual_seed(0)
    model = ImageClassifier(
        backbone=backbone,
        neck=dict(
            type='cnnrnn_mm.RegionLocalizationNeck',
            in_channels=channels,
            proposals=dict(type='cnnrnn_mm.ProposalNetwork', hidden=8),
            num_regions=4,
            sample_size=2,
        ),
    )
    model.init_weights()
    (regions,) = model.extract_feat(torch.randn(2, 3, side, side))
    assert regions.features.shape == (2, 5, channels) and regions.valid.all()
    (regions.features.square().sum() + regions.log_gates.sum()).backward()
    for name in ('rpn.conv.0.0', 'rpn.cls_logits', 'rpn.bbox_pred'):
        assert model.neck.proposals.get_submodule(name).weight.grad.any(), name


def test_a_transformer_s_class_token_is_no_map():
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
    model = ImageClassifier(
        backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
        neck=dict(
            type='cnnrnn_mm.RegionLocalizationNeck',
            in_channels=8,
            proposals=dict(type='cnnrnn_mm.GridProposals'),
        ),
    )
    with pytest.raises(UsageError, match="out_type='featmap'"):
        model.extract_feat(torch.randn(1, 3, 32, 32))
