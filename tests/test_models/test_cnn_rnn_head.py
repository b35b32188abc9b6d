# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample, MultiTaskDataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead

C, F = 4, 6
END, START = 4, 5
LABELS = ([2, 0, 3], [], [1], [3, 1])


def build(**options):
    options = {'embed_dims': 8, 'hidden_dims': 8, 'dropout': 0.0, **options}
    return CNNRNNHead(num_classes=C, in_channels=F, **options)


def samples_of(labels=LABELS):
    return [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in labels]


def results_of(samples):
    return [
        (s.pred_label.tolist(), s.pred_score.tolist(), s.pred_paths, s.pred_path_log_probs.tolist())
        for s in samples
    ]


def path_log_prob(head, feature, labels):
    """Log P(labels, END given image) in plain python, one image, no padding."""
    tokens = torch.tensor([[START, *labels]])
    probabilities = head((feature.unsqueeze(0),), tokens).softmax(-1)[0].tolist()
    return sum(
        math.log(row[target]) for row, target in zip(probabilities, [*labels, END], strict=True)
    )


@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm', 'gru', 'none'])
def test_loss_is_mean_log_probability_of_the_paths(recurrent):
    head = build(recurrent=recurrent)
    features = torch.randn(4, F)
    expected = -sum(path_log_prob(head, *pair) for pair in zip(features, LABELS, strict=True)) / 4
    losses = head.loss((features,), samples_of())
    assert set(losses) == {'loss'} and losses['loss'].shape == ()
    assert float(losses['loss'].detach()) == pytest.approx(expected, rel=1e-5)


def test_loss_reads_the_order_of_the_labels():
    head = build()
    feature = torch.randn(1, F)
    one, other = (head.loss((feature,), samples_of([o]))['loss'] for o in ([0, 1, 2], [2, 1, 0]))
    assert abs(float((one - other).detach())) > 1e-4


def test_options_of_the_loss_arrive():
    features = torch.randn(4, F)
    head = build(loss=dict(loss_weight=3.0))
    plain = build()
    plain.load_state_dict(head.state_dict())
    three, one = (h.loss((features,), samples_of())['loss'] for h in (head, plain))
    torch.testing.assert_close(three, 3 * one)


@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm', 'gru', 'none'])
def test_decoding_agrees_with_the_loss(recurrent):
    """-loss of the path that was found is the log-probability that the search reported."""
    head = build(recurrent=recurrent).eval()
    with torch.no_grad():
        head.decoder.embedding.weight.mul_(3)
    features = torch.randn(6, F)
    for feature, sample in zip(features, head.predict((features,)), strict=True):
        for path, log_prob in zip(
            sample.pred_paths, sample.pred_path_log_probs.tolist(), strict=True
        ):
            loss = head.loss((feature.unsqueeze(0),), samples_of([path]))['loss']
            assert -float(loss.detach()) == pytest.approx(log_prob, abs=1e-4)


def test_training_recovers_ordered_paths_and_the_empty_one():
    """A few images by heart: decoded freely, in the order taught, the empty set as END first."""
    head = build(hidden_dims=16)
    features = 2 * torch.randn(4, F)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss((features,), samples_of())['loss'].backward()
        optimiser.step()
    samples = head.eval().predict((features,))
    assert [sample.pred_label.tolist() for sample in samples] == list(LABELS)
    assert float(samples[1].pred_step_log_probs.exp()[0]) > 0.8  # END at once
    assert float(samples[1].pred_score.max()) < 0.2
    for sample, labels in zip(samples, LABELS, strict=True):
        assert all((float(sample.pred_score[c]) > 0.5) == (c in labels) for c in range(C))


def test_image_without_labels_pushes_end_at_the_first_step_only():
    head = build()
    features = torch.randn(2, F)
    loss = head.loss((features,), samples_of([[], []]))['loss']
    probabilities = head((features,)).softmax(-1)
    assert probabilities.shape == (2, 1, C + 1)
    torch.testing.assert_close(loss, -probabilities[:, 0, END].log().mean())
    loss.backward()
    assert float(head.decoder.image_projection.weight.grad.abs().sum()) > 0


def test_dropout_in_training_not_at_test():
    head = build(dropout=0.5)
    features = (torch.randn(4, F),)
    one, other = (float(head.loss(features, samples_of())['loss'].detach()) for _ in range(2))
    assert one != other
    head.eval()
    assert results_of(head.predict(features)) == results_of(head.predict(features))
    tokens = torch.tensor([[START, 1]] * 4)
    assert torch.equal(head(features, tokens), head(features, tokens))


def test_prediction_never_reads_the_truth():
    head = build().eval()
    features = (torch.randn(4, F),)
    blind = results_of(head.predict(features))
    for labels in (LABELS, [[0, 1, 2, 3]] * 4, [[]] * 4):
        samples = samples_of(labels)
        assert results_of(head.predict(features, samples)) == blind
        assert [sample.gt_label.tolist() for sample in samples] == list(labels)


def test_prediction_writes_into_the_given_samples():
    head = build().eval()
    given = samples_of(LABELS[:3])
    returned = head.predict((torch.randn(4, F),), [*given, None])
    assert all(one is other for one, other in zip(given, returned, strict=False))
    assert isinstance(returned[3], DataSample) and 'gt_label' not in returned[3]


def test_prediction_of_an_image_does_not_depend_on_its_batch():
    head = build().eval()
    features = torch.randn(8, F)
    whole = head.predict((features,))
    for index, sample in enumerate(whole):
        (alone,) = head.predict((features[index : index + 1],))
        assert alone.pred_paths == sample.pred_paths
        torch.testing.assert_close(alone.pred_score, sample.pred_score, atol=1e-6, rtol=0)


def test_last_feature_is_used_and_maps_are_averaged():
    head = build().eval()
    maps = torch.randn(2, F, 3, 5)
    other = torch.randn(2, F, 3, 5)
    expected = maps.mean((2, 3))
    torch.testing.assert_close(head.pre_logits((other, maps)), expected)
    torch.testing.assert_close(head.pre_logits([other, maps]), expected)
    torch.testing.assert_close(head.pre_logits(maps), expected)
    torch.testing.assert_close(head.pre_logits((expected,)), expected)


def test_wrong_channels_name_both_numbers():
    with pytest.raises(UsageError, match='in_channels=6, .* 9 channels: set in_channels=9'):
        build().predict((torch.randn(2, 9),))


def test_unknown_recurrent_layer_is_named():
    with pytest.raises(UsageError, match="'elman'"):
        build(recurrent='elman')


def test_unknown_option_of_a_part_is_an_error():
    with pytest.raises(TypeError, match='beams'):
        build(postprocessor=dict(beams=3))


def test_wrong_option_of_the_search_is_found_when_the_model_is_built():
    with pytest.raises(UsageError, match='beam_size is 0'):
        build(postprocessor=dict(beam_size=0))
    with pytest.raises(UsageError, match='min_length is 5'):
        build(postprocessor=dict(constraints=dict(min_length=5)))


def test_configs_are_not_changed():
    loss, postprocessor = dict(type='SequenceLoss'), dict(beam_size=2)
    build(loss=loss, postprocessor=postprocessor)
    assert loss == dict(type='SequenceLoss') and postprocessor == dict(beam_size=2)


def test_samples_without_label_lists_are_refused():
    sample = DataSample().set_gt_score(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    with pytest.raises(UsageError, match="no 'gt_label'"):
        build().loss((torch.randn(1, F),), [sample])


def test_onehot_scores_beside_the_labels_are_no_mixture():
    samples = samples_of([[1, 3]])
    samples[0].set_gt_score(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    feats, head = (torch.randn(1, F),), build()
    torch.testing.assert_close(
        head.loss(feats, samples)['loss'], head.loss(feats, samples_of([[1, 3]]))['loss']
    )


# Inside the host's models.
BACKBONES = {
    'MobileNetV2': (
        dict(type='MobileNetV2', widen_factor=0.35),
        dict(type='GlobalAveragePooling'),
        1280,
    ),
    'ResNet': (dict(type='ResNet', depth=18), None, 512),
    'VisionTransformer': (
        dict(
            type='VisionTransformer', img_size=32, patch_size=8,
            arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        ),
        None,
        16,
    ),
}  # fmt: skip


def classifier(name, default_scope, **options):
    default_scope('mmpretrain')
    backbone, neck, channels = BACKBONES[name]
    head = dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=C, in_channels=channels, embed_dims=8,
        hidden_dims=8, dropout=0.5,
    )  # fmt: skip
    return MODELS.build(
        dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head, **options)
    )


@pytest.mark.parametrize('name', BACKBONES)
def test_in_the_host_s_classifier(name, default_scope):
    model = classifier(name, default_scope)
    data = dict(
        inputs=[torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(4)],
        data_samples=samples_of(),
    )
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    losses['loss'].backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    first = next(model.backbone.parameters())
    assert first.grad is not None and float(first.grad.abs().sum()) > 0
    model.eval()
    samples = model(**data, mode='predict')
    assert [sample.gt_label.tolist() for sample in samples] == list(LABELS)
    assert all(sample.pred_score.shape == (C,) for sample in samples)
    again = model(data['inputs'], mode='predict')
    assert results_of(again) == results_of(samples)
    assert model(data['inputs'], mode='tensor').shape == (4, 1, C + 1)


@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
def test_mixed_images_are_refused(augment, default_scope):
    model = classifier(
        'VisionTransformer',
        default_scope,
        train_cfg=dict(augments=dict(type=augment, alpha=1.0)),
        data_preprocessor=dict(num_classes=C),
    )
    data = dict(inputs=[torch.rand(3, 32, 32) for _ in range(4)], data_samples=samples_of())
    with pytest.raises(UsageError, match='Mixup and CutMix'):
        model(**model.data_preprocessor(data, training=True), mode='loss')


def multi_task_head(default_scope, **others):
    default_scope('mmpretrain')
    return MODELS.build(
        dict(
            type='MultiTaskHead',
            in_channels=F,
            task_heads=dict(
                kind=dict(type='LinearClsHead', num_classes=3),
                things=dict(
                    type='cnnrnn_mm.CNNRNNHead', num_classes=C, embed_dims=8, hidden_dims=8,
                    dropout=0.0,
                ),
                **others,
            ),
        )
    )  # fmt: skip


def task_samples(things):
    """The third image has no ``things``, the second nothing but ``things``."""
    samples = []
    for index, labels in enumerate(things):
        sample = MultiTaskDataSample()
        if index != 1:
            sample.set_field(DataSample().set_gt_label(index % 3), 'kind')
            flags = DataSample().set_gt_label(torch.tensor([index % 2]))
            sample.set_field(flags.set_gt_score(torch.eye(2)[index % 2]), 'flags')
        if labels is not None:
            sample.set_field(samples_of([labels])[0], 'things')
        samples.append(sample)
    return samples


def test_beside_other_heads(default_scope):
    flags = dict(type='MultiLabelLinearClsHead', num_classes=2)
    head = multi_task_head(default_scope, flags=flags)
    features = torch.randn(4, F)
    losses = head.loss((features,), task_samples([[2, 0], [], None, [1]]))
    assert {'kind_loss', 'things_loss', 'flags_loss'} <= set(losses)
    alone = build()
    alone.load_state_dict(head.task_heads['things'].state_dict())
    kept = features[torch.tensor([0, 1, 3])]
    expected = alone.loss((kept,), samples_of([[2, 0], [], [1]]))['loss']
    torch.testing.assert_close(losses['things_loss'], expected)


def test_batch_without_the_task(default_scope):
    head = multi_task_head(default_scope)
    losses = head.loss((torch.randn(2, F),), task_samples([None, None]))
    assert float(losses['things_loss']) == 0


def test_prediction_beside_other_heads(default_scope):
    head = multi_task_head(default_scope).eval()
    features = torch.randn(4, F)
    samples = task_samples([[2, 0], [], None, [1]])
    predicted = head.predict((features,), [*samples[:3], None])
    assert [s.things.eval_mask for s in predicted] == [True, True, False, False]
    assert predicted[0] is samples[0] and predicted[0].things.gt_label.tolist() == [2, 0]
    alone = build().eval()
    alone.load_state_dict(head.task_heads['things'].state_dict())
    expected = results_of(alone.predict((features,)))
    assert results_of([sample.things for sample in predicted]) == expected
    assert results_of([s.things for s in head.predict((features,))]) == expected
