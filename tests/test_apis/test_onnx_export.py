# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Models as one graph: the module in torch, and the file in onnxruntime."""

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from cnnrnn_mm.apis.export.check import TIE, compare_outputs, predict_photos
from cnnrnn_mm.apis.export.config import export_config
from cnnrnn_mm.apis.export.metadata import photo_size
from cnnrnn_mm.apis.export.onnx_file import (
    export_onnx,
    open_session,
    prepare_export,
    run_session,
    to_pixels,
)
from cnnrnn_mm.apis.export.pixel_model import ExportModel
from cnnrnn_mm.apis.trained_model import TrainedModel
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import MODELS

CLASSES = ('bus', 'cat', 'dog', 'person', 'tree', 'sky')
ORDER = [3, 1, 2, 5, 0, 4]
BACKBONE = dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4)
PREPROCESSOR = dict(mean=[90.0, 110.0, 130.0], std=[50.0, 60.0, 70.0], to_rgb=True)


def build(head, neck=None, **preprocessor):
    """A model of six classes with random weights, and logits that differ between photos."""
    torch.manual_seed(3)
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(BACKBONE),
            neck=dict(type='mmpretrain.GlobalAveragePooling') if neck is None else neck,
            head=dict(dict(num_classes=6, in_channels=32), **head),
            data_preprocessor=dict(PREPROCESSOR, **preprocessor),
        )
    ).eval()
    scale = 40.0 if preprocessor.get('mean', True) else 0.5  # pixels as they are: large features
    for name, weight in model.head.named_parameters():
        sees = 'image_projection' in name or 'marginal' in name
        weight.data.mul_(scale if sees and 'weight' in name else 2.0)
    if hasattr(model.head, 'set_training_order'):
        model.head.set_training_order('frequent_first', ORDER)
    cfg = Config(dict(model=dict(head=head)))
    return TrainedModel(model, CLASSES, [dict(type='LoadImage')], cfg, 'folder/tiny.pth')


def paths_head(beam_size=3, decoder='LabelDecoder', search=None, **options):
    sizes = dict(embed_dims=8, hidden_dims=8)
    found = dict(type='BeamSearchPostprocessor', beam_size=beam_size, **(search or {}))
    return dict(
        dict(type='cnnrnn_mm.CNNRNNHead', decoder=dict(type=decoder), postprocessor=found, **sizes),
        **options,
    )


def photos(count=6, size=32):
    generator = torch.Generator().manual_seed(1)
    shapes = torch.rand((count, 3, 4, 4), generator=generator) * 255
    return list(torch.nn.functional.interpolate(shapes, size).to(torch.uint8))


def assert_equal(trained, max_labels=6, number=6, size=32):
    """What the module gives is what the model's own predict gives."""
    given = photos(number, size)
    module, _ = prepare_export(trained, max_labels)
    with torch.no_grad():
        outputs = dict(zip(module.output_names, module(to_pixels(given)), strict=True))
    outputs = {name: values.numpy() for name, values in outputs.items()}
    samples = predict_photos(trained.model, given)

    def no_ties(photo, path):
        return -np.inf

    report = compare_outputs(outputs, samples, no_ties)
    assert report.differences == []
    assert max(report.largest.values()) < 2e-5
    return outputs, samples


@pytest.mark.parametrize('recurrent', ['lstm', 'gru', 'relu_lstm', 'none'])
def test_recurrent_layers(recurrent):
    outputs, _ = assert_equal(build(paths_head(recurrent=recurrent)))
    assert np.ptp(outputs['scores'], 0).max() > 0.01  # photos differ
    assert outputs['labels'].shape == (6, 6) and outputs['paths'].shape == (6, 3, 6)


@pytest.mark.parametrize(
    ('decoder', 'search'),
    [
        ('SkipDecoder', dict(marginal_share=0.5, constraints=dict(order='training'))),
        ('ChainDecoder', dict(marginal_share=0.3)),
        ('LabelDecoder', dict(end_bias=1.5, num_paths=2)),
        ('SkipDecoder', dict(constraints=dict(required=[2], forbidden=[0, 5], prefix=[4]))),
        ('LabelDecoder', dict(constraints=dict(min_length=2, max_length=3, exclusive=[[0, 1]]))),
        ('LabelDecoder', dict(decision=dict(type='ThresholdDecision', thr=0.3))),
    ],
)
def test_decoders_and_options_of_the_search(decoder, search):
    marginal = None if decoder == 'LabelDecoder' else dict(hidden_dims=8)
    assert_equal(build(paths_head(decoder=decoder, search=search, marginal=marginal)))


@pytest.mark.parametrize(
    'proposals',
    [
        dict(type='GridProposals', levels=(2,)),
        dict(type='ProposalNetwork', anchor_sizes=(0.3, 0.6), pre_nms=40, min_size=0.2),
    ],
)
def test_regions(proposals):
    """Boxes of the labels, too; the network's NMS leaves images with different numbers of them."""
    neck = dict(
        type='cnnrnn_mm.RegionLocalizationNeck',
        in_channels=32,
        proposals=proposals,
        num_regions=9,
        sample_size=2,
    )
    head = paths_head(
        marginal=dict(), search=dict(marginal_share=0.5, constraints=dict(min_length=2))
    )
    head['type'], head['label_decoder'] = 'cnnrnn_mm.RLSDHead', dict(type='SkipDecoder')
    del head['decoder']
    trained = build(head, neck)
    if proposals['type'] == 'ProposalNetwork':
        for weight in trained.model.neck.proposals.rpn.parameters():
            weight.data.mul_(30.0)
    outputs, samples = assert_equal(trained)
    assert outputs['label_boxes'].shape == (6, 6, 4)
    named = [one.pred_label_regions for one in samples if len(one.pred_label)]
    assert named and bool((torch.cat(named) != torch.tensor([0.0, 0.0, 1.0, 1.0])).any())


@pytest.mark.parametrize(
    'preprocessor',
    [dict(to_rgb=False), dict(mean=None, std=None), dict(pad_size_divisor=20, pad_value=0.5)],
)
def test_data_preprocessor(preprocessor):
    assert_equal(build(paths_head(), **preprocessor), number=3)


def test_length_is_a_limit_for_both():
    outputs, samples = assert_equal(build(paths_head(search=dict(end_bias=-6.0))), max_labels=2)
    assert outputs['paths'].shape[-1] == 2
    assert [len(one.pred_label) for one in samples] == [2] * 6


@pytest.mark.parametrize('score', ['sigmoid', 'softmax'])
def test_heads_without_paths(score):
    head = dict(type='cnnrnn_mm.LinearLabelHead', score=score, topk=2)
    outputs, _ = assert_equal(build(head))
    assert list(outputs) == ['scores']
    host = dict(type='mmpretrain.MultiLabelLinearClsHead')
    if score == 'sigmoid':
        assert_equal(build(host))


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    """The file of a model with a skip decoder and an order, the model, and what was found."""
    pytest.importorskip('onnx', reason='onnx is not installed: .[export]')
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: .[export]')
    search = dict(marginal_share=0.5, constraints=dict(order='training', forbidden=[0]))
    head = paths_head(2, 'SkipDecoder', search, marginal=dict())
    trained = build(head)
    path = tmp_path_factory.mktemp('export') / 'tiny.onnx'
    done, module = export_onnx(trained, photos(), path, max_labels=3)
    return done, module, trained


def test_file_says_what_the_model_says(exported):
    done, _, trained = exported
    assert done.report.differences == [] and done.report.near_ties == []
    assert set(done.report.largest) >= {'scores', 'path_log_probs', 'step_probs', 'scores_lower'}
    # Other photos, and batch sizes that it was not traced with.
    given = photos(17)[6:]
    samples = predict_photos(trained.model, given)
    for size in (1, 2, 11):
        outputs = run_session(open_session(done.path, 1), to_pixels(given), size)
        report = compare_outputs(outputs, samples, lambda photo, path: -np.inf)
        assert report.differences == []
        assert not (outputs['paths'] == 0).any()  # forbidden


def test_file_is_one_and_holds_what_users_need(exported):
    done, module, _ = exported
    assert [path.name for path in done.path.parent.iterdir()] == ['tiny.onnx']
    session = open_session(done.path, 1)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about['classes']) == list(CLASSES)
    assert (about['input_height'], about['input_width'], about['photo_size']) == (
        '32',
        '32',
        'none',
    )
    assert json.loads(about['mean']) == PREPROCESSOR['mean'] and about['beam_size'] == '2'
    assert json.loads(about['constraints'])['order'] == ORDER
    assert about['checkpoint'] == 'tiny.pth' and about['torch'] == torch.__version__
    (pixels,) = session.get_inputs()
    assert pixels.type == 'tensor(uint8)' and pixels.shape[1:] == [32, 32, 3]
    assert isinstance(pixels.shape[0], str)
    assert [one.name for one in session.get_outputs()] == module.output_names


def test_a_wrong_file_is_not_written(exported, tmp_path, monkeypatch):
    """The check compares with the model as it is: here its scores change behind the trace."""
    _, _, trained = exported
    from cnnrnn_mm.apis.export import onnx_file

    write = onnx_file.write_graph

    def write_other(module, *args):
        other = copy.deepcopy(module)
        other.head.decoder.skip_scale.data.mul_(0.5)
        write(other, *args)

    monkeypatch.setattr(onnx_file, 'write_graph', write_other)
    with pytest.raises(UsageError, match='differs from the model'):
        export_onnx(trained, photos(2), tmp_path / 'tiny.onnx', max_labels=1)
    assert list(tmp_path.iterdir()) == []


def sample_of(paths, log_probs):
    sample = DataSample().set_pred_score(torch.tensor([0.5, 0.25])).set_pred_label(paths[0])
    fields = dict(
        pred_score_lower=torch.zeros(2),
        pred_score_upper=torch.ones(2),
        pred_paths=paths,
        pred_path_log_probs=torch.tensor(log_probs),
        pred_step_log_probs=torch.tensor([-0.5, -0.5]),
        pred_proven=True,
        pred_gap=0.0,
    )
    for name, value in fields.items():
        sample.set_field(value, name)
    return sample


def outputs_of(paths, log_probs):
    labels = np.array([[paths[0] + [-1] * (2 - len(paths[0]))]])[:, 0]
    rows = [[path + [-1] * (2 - len(path)) for path in paths]]
    return dict(
        scores=np.array([[0.5, 0.25]]),
        scores_lower=np.zeros((1, 2)),
        scores_upper=np.ones((1, 2)),
        labels=labels,
        counts=np.array([len(paths[0])]),
        step_probs=np.exp([[-0.5, -0.5, -np.inf]]),
        paths=np.array(rows),
        path_log_probs=np.array([log_probs]),
        proven=np.array([True]),
        gap=np.array([0.0]),
    )


def test_near_ties_are_told_from_errors():
    sample = sample_of([[0], [1]], [-1.0, -1.0 - TIE / 4])
    worth = {(0,): -1.0, (1,): -1.0 - TIE / 4}

    def log_prob(photo, path):
        return worth[tuple(path)]

    same = compare_outputs(outputs_of([[0], [1]], [-1.0, -1.0]), [sample], log_prob)
    assert same.near_ties == [] and same.differences == []
    swapped = compare_outputs(outputs_of([[1], [0]], [-1.0, -1.0]), [sample], log_prob)
    assert swapped.near_ties == [0] and swapped.differences == []
    worth[(1,)] = -1.5  # the log-probability was claimed, but the model does not agree
    wrong = compare_outputs(outputs_of([[1], [0]], [-1.0, -1.0]), [sample], log_prob)
    assert any('path 0 is [1], not [0]' in line for line in wrong.differences)
    off = compare_outputs(outputs_of([[0], [1]], [-1.0, -1.0 - 3 * TIE]), [sample], log_prob)
    assert any('path_log_probs differs' in line for line in off.differences)
    fewer = compare_outputs(outputs_of([[0], [1]], [-1.0, -np.inf]), [sample], log_prob)
    assert any('1 paths for 2' in line for line in fewer.differences)


@pytest.mark.parametrize(
    ('search', 'named'),
    [
        (dict(type='BestFirstPostprocessor'), '--beam-size'),
        (dict(type='UnmaskedGreedyPostprocessor'), 'UnmaskedGreedyPostprocessor'),
        (dict(decision=dict(type='ExpectedF1Decision')), 'ExpectedF1Decision'),
        (dict(decision=dict(type='SetDecision')), 'SetDecision'),
    ],
)
def test_what_can_not_be_exported(search, named):
    head = paths_head()
    head['postprocessor'] = {'type': 'BeamSearchPostprocessor', **search}
    with pytest.raises(UsageError, match=named):
        ExportModel(build(head).model)


def test_single_label_heads_can_not_be_exported():
    head = dict(type='mmpretrain.LinearClsHead', loss=dict(type='mmpretrain.CrossEntropyLoss'))
    with pytest.raises(UsageError, match='LinearClsHead can not be exported'):
        ExportModel(build(head).model)


def test_best_first_gives_way_to_a_named_width():
    head = paths_head()
    search = dict(type='BestFirstPostprocessor', max_expansions=9, num_paths=2, end_bias=1.0)
    cfg = export_config(Config(dict(model=dict(head=dict(head, postprocessor=search)))), 4)
    expected = dict(type='BeamSearchPostprocessor', beam_size=4, end_bias=1.0)
    assert dict(cfg.model.head.postprocessor) == expected
    linear = Config(dict(model=dict(head=dict(type='MultiLabelLinearClsHead'))))
    with pytest.raises(UsageError, match='has no search'):
        export_config(linear, 4)


def test_photos_of_the_pipeline():
    with pytest.raises(UsageError, match='different|32, 32'):
        to_pixels([*photos(1), *photos(1, size=16)])
    with pytest.raises(UsageError, match='uint8'):
        to_pixels([photos(1)[0].float()])
    with pytest.raises(UsageError, match='no photo'):
        to_pixels([])


@pytest.mark.parametrize(
    ('transforms', 'expected'),
    [
        ([], 'none'),
        ([dict(type='Resize', scale=(8, 8))], 'resize'),
        ([dict(type='Resize', scale=(8, 8), keep_ratio=True)], 'other'),
        ([dict(type='Resize', scale=(8, 8), interpolation='bicubic')], 'other'),
        ([dict(type='ResizeEdge', scale=8), dict(type='CenterCrop', crop_size=8)], 'other'),
    ],
)
def test_what_the_file_says_of_the_pipeline(transforms, expected):
    pipeline = [dict(type='cnnrnn_mm.LoadImage'), *transforms, dict(type='PackInputs')]
    assert photo_size(pipeline) == expected
