# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Searches through the head and the host's models; an image's result is its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import BeamSearchPostprocessor, BestFirstPostprocessor, CNNRNNHead
from cnnrnn_mm.search import Constraints, NonFiniteScoresError

C, F = 6, 5
SEARCHES = {
    'beam': dict(type='BeamSearchPostprocessor', beam_size=4),
    'best first': dict(type='BestFirstPostprocessor', num_paths=3),
    'few expansions': dict(type='BestFirstPostprocessor', num_paths=2, max_expansions=4),
}
SCORES = ('pred_score', 'pred_score_lower', 'pred_score_upper')
LOG_PROBS = ('pred_path_log_probs', 'pred_step_log_probs')
NUMBERS = ('pred_gap', 'pred_set_log_prob_lower', 'pred_set_log_prob_upper')
#: One for each of twelve images.
LIMITS = [
    {}, dict(prefix=[1]), dict(required=[0, 5]), dict(forbidden=[2, 3]), dict(min_length=3),
    dict(max_length=1), dict(exclusive=[(0, 1, 2)]), dict(order=[5, 4, 3, 2, 1, 0]),
    dict(prefix=[4, 2, 0]), {}, dict(min_length=2, max_length=2), dict(order=[0, 1, 2, 3, 4, 5]),
]  # fmt: skip


def build(recurrent='lstm', seed=0, **options):
    torch.manual_seed(seed)
    options = {'embed_dims': 8, 'hidden_dims': 8, 'dropout': 0.0, **options}
    head = CNNRNNHead(num_classes=C, in_channels=F, recurrent=recurrent, **options).eval()
    with torch.no_grad():
        head.decoder.embedding.weight.mul_(4)
        for weights in head.decoder.recurrent.parameters():
            weights.mul_(2)
    return head


def assert_same(samples, expected):
    assert len(samples) == len(expected)
    for one, other in zip(samples, expected, strict=True):
        assert one.pred_paths == other.pred_paths
        assert one.pred_label.tolist() == other.pred_label.tolist()
        assert one.pred_proven == other.pred_proven
        for name in (*SCORES, *LOG_PROBS):
            close = dict(atol=1e-6 if name in SCORES else 1e-5, rtol=0)
            torch.testing.assert_close(one.get(name), other.get(name), **close)
        for name in NUMBERS:
            assert one.get(name) == pytest.approx(other.get(name), abs=1e-5)


@pytest.mark.parametrize('limits', [None, LIMITS], ids=['free', 'constraints'])
@pytest.mark.parametrize('search', SEARCHES)
@pytest.mark.parametrize('recurrent', ['lstm', 'gru'])
def test_image_alone_in_any_batch_and_in_any_order(recurrent, search, limits):
    head = build(recurrent, postprocessor=dict(SEARCHES[search], set_log_prob=True))
    features = 2 * torch.randn(12, F)

    def predict(images):
        some = None if limits is None else [limits[image] for image in images]
        return head.predict((features[images],), constraints=some)

    alone = [predict([image])[0] for image in range(12)]
    assert len({tuple(sample.pred_label.tolist()) for sample in alone}) > (
        1 if limits is None else 4
    )
    orders = [list(range(12)), list(range(12))[::-1], [3, 3, 3, 0], torch.randperm(12).tolist()]
    for images in orders:
        assert_same(predict(images), [alone[image] for image in images])
    head.decoder.clear_trie()  # the whole batch first, its images one by one after
    whole = predict(list(range(12)))
    assert_same(whole, alone)
    assert_same([predict([image])[0] for image in range(12)], whole)


@settings(max_examples=15)
@given(
    images=st.lists(st.integers(0, 11), min_size=1, max_size=20),
    search=st.sampled_from(list(SEARCHES)),
    seed=st.integers(0, 3),
)
def test_any_batch_of_any_images(images, search, seed):
    head = build(seed=seed, trie_bytes=20_000, postprocessor=SEARCHES[search])
    features = 2 * torch.randn(12, F)
    whole = head.predict((features,))
    again = head.predict((features[images],))
    assert [s.pred_paths for s in again] == [whole[image].pred_paths for image in images]
    for sample, image in zip(again, images, strict=True):
        for name in SCORES:
            expected = whole[image].get(name)
            torch.testing.assert_close(sample.get(name), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm', 'gru', 'none'])
def test_best_first_finds_at_least_what_beams_find(recurrent):
    head = build(recurrent, postprocessor=dict(type='BestFirstPostprocessor', num_paths=3))
    features = 2 * torch.randn(8, F)
    best = head.predict((features,))
    assert all(sample.pred_proven for sample in best)
    for beam_size in (1, 2, 100):
        head.postprocessor = BeamSearchPostprocessor(C, beam_size=beam_size)
        for one, other in zip(best, head.predict((features,)), strict=True):
            by = float(one.pred_path_log_probs[0] - other.pred_path_log_probs[0])
            assert -1e-5 <= by <= other.pred_gap + 1e-5
            if other.pred_proven or beam_size == 100:
                assert one.pred_paths[0] == other.pred_paths[0] and abs(by) < 1e-5


def test_search_is_chosen_by_the_config():
    head = build(postprocessor=dict(type='BestFirstPostprocessor', max_expansions=7))
    assert isinstance(head.postprocessor, BestFirstPostprocessor)
    assert isinstance(build().postprocessor, BeamSearchPostprocessor)
    with pytest.raises(UsageError, match='max_expansions is 0'):
        build(postprocessor=dict(type='BestFirstPostprocessor', max_expansions=0))


@pytest.mark.parametrize('search', SEARCHES)
def test_features_that_are_not_finite_name_the_photo(search):
    head = build(postprocessor=SEARCHES[search])
    features = torch.randn(3, F)
    features[1, 2] = float('nan')
    photos = [DataSample(metainfo=dict(img_path=f'{name}.jpg')) for name in 'abc']
    with pytest.raises(NonFiniteScoresError, match=r'scores for b\.jpg: '):
        head.predict((features,), photos)


@pytest.mark.parametrize('search', SEARCHES)
@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm'])
def test_paths_of_a_call_with_constraints_are_worth_what_the_loss_says(recurrent, search):
    """Constraints leave paths out; what a path is worth stays equation (6)."""
    head = build(recurrent, postprocessor=SEARCHES[search])
    features = 2 * torch.randn(12, F)
    limits = [{key: value for key, value in one.items() if key != 'prefix'} for one in LIMITS]
    samples = head.predict((features,), constraints=limits)
    for feature, sample in zip(features, samples, strict=True):
        for path, log_prob in zip(sample.pred_paths, sample.pred_path_log_probs, strict=True):
            truth = DataSample().set_gt_label(torch.tensor(path).long())
            loss = head.loss((feature.unsqueeze(0),), [truth])['loss']
            assert -float(loss.detach()) == pytest.approx(float(log_prob), abs=1e-4)
        total = float(sample.pred_step_log_probs.sum())
        assert total == pytest.approx(float(sample.pred_path_log_probs[0]), abs=1e-5)


# Inside the host's models.
def test_constraints_go_through_the_host_s_classifier(default_scope):
    default_scope('mmpretrain')
    head = dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=C, in_channels=F, embed_dims=8, hidden_dims=8,
        postprocessor=dict(constraints=dict(forbidden=[0])),
    )  # fmt: skip
    model = MODELS.build(
        dict(type='ImageClassifier', backbone=torch.nn.Conv2d(3, F, 3), head=head)
    ).eval()
    inputs = torch.randn(3, 3, 8, 8)
    samples = model.predict(inputs, constraints=dict(required=[2], min_length=2))
    assert all(2 in path and 0 not in path for s in samples for path in s.pred_paths)
    each = [dict(prefix=[5, 1]), Constraints(required=[0]), {}]
    given = [DataSample(metainfo=dict(img_path='a.jpg')) for _ in range(3)]
    samples = model.predict(inputs, given, constraints=each)
    assert samples[0] is given[0] and samples[0].pred_label[:2].tolist() == [5, 1]
    assert 0 in samples[1].pred_label
    (plain,) = model(inputs[2:], mode='predict')
    assert samples[2].pred_paths == plain.pred_paths
    with pytest.raises(UsageError, match="constraint 'requires' is not known"):
        model.predict(inputs, constraints=dict(requires=[2]))


def test_constraints_of_one_task(default_scope):
    """The host's multi-task head takes no options of a call; those of the config hold."""
    default_scope('mmpretrain')
    constraints = dict(order='training', required=[2], min_length=2)
    cfg = dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=C, embed_dims=8, hidden_dims=8,
        postprocessor=dict(type='BestFirstPostprocessor', constraints=constraints),
    )  # fmt: skip
    kind = dict(type='LinearClsHead', num_classes=3)
    cfg = dict(type='MultiTaskHead', in_channels=F, task_heads=dict(kind=kind, things=cfg))
    head = MODELS.build(cfg).eval()
    with pytest.raises(UsageError, match='no order came with the checkpoint'):
        head.predict((torch.randn(2, F),))
    order = [5, 4, 3, 2, 1, 0]
    head.task_heads['things'].set_training_order('rare_first', order)
    for sample in head.predict((torch.randn(4, F),)):
        path = sample.things.pred_label.tolist()
        assert 2 in path and len(path) >= 2 and path == sorted(path, reverse=True)
        assert sample.kind.pred_label.shape == (1,)
