# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Views of an image as one distribution over label paths, against enumeration."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models import LinearClsHead, MultiLabelLinearClsHead, MultiTaskHead
from mmpretrain.structures import DataSample, MultiTaskDataSample
from path_sums import path_log_prob
from region_cases import make_regions

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, HybridHead, LinearLabelHead, RLSDHead
from cnnrnn_mm.models.tta import PathTTA, mix_views
from cnnrnn_mm.search import NonFiniteScoresError, beam_search, set_log_probs

C, F, N = 4, 6, 3
ORDER = [2, 0, 3, 1]
SKIP = dict(decoder=dict(type='SkipDecoder'), marginal=dict())
CHAIN = dict(decoder=dict(type='ChainDecoder'), marginal=dict(), embed_dims=3)
PATHS = [path for size in range(C + 1) for path in permutations(range(C), size)]


class Model(torch.nn.Module):
    """As much of a classifier as is asked for; its features are its inputs."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def data_preprocessor(self, data, training):
        assert not training
        return dict(data)

    def extract_feat(self, inputs):
        return (inputs,)

    def test_step(self, data):
        return self.head.predict(self.extract_feat(data['inputs']), data['data_samples'])


def build(kind=CNNRNNHead, **options):
    torch.manual_seed(3)
    options = {'embed_dims': 8, 'hidden_dims': 5, 'dropout': 0.0, **options}
    head = kind(C, F, **options).eval()
    with torch.no_grad():
        for weight in head.parameters():
            weight.mul_(3.0)  # views that differ
    if options.get('decoder', {}).get('type') == 'ChainDecoder':
        torch.nn.init.normal_(head.decoder.classifier.weight)
        head.set_training_order('given', ORDER)
    return head


def all_paths(**options):
    return dict(type='BestFirstPostprocessor', num_paths=len(PATHS), **options)


def views_of(number=3, images=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, F, generator=generator) for _ in range(number)]


def predict(head, views, samples=None, **options):
    samples = [DataSample() for _ in range(len(views[0]))] if samples is None else samples
    others = [[DataSample() for _ in samples] for _ in views[1:]]
    data = dict(inputs=list(views), data_samples=[samples, *others])
    return PathTTA(module=Model(head), **options).test_step(data)


def mixture(head, views, row, path, weights=None):
    """Log of the mean of the views' probabilities, each by teacher forcing."""
    each = [path_log_prob(head, (view,), row, path) for view in views]
    weights = np.ones(len(views)) / len(views) if weights is None else np.array(weights)
    return np.logaddexp.reduce(each + np.log(weights / weights.sum()))


def paths_of(head):
    if 'Chain' in type(head.decoder).__name__:
        return [path for size in range(C + 1) for path in combinations(ORDER, size)]
    return PATHS


def fields_of(sample):
    return {key: value for key, value in sample.items() if key.startswith('pred_')}


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(value, other[key], **tolerance, msg=key)
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, other[key]), key
        elif isinstance(value, float):
            assert value == pytest.approx(other[key], abs=1e-5), key
        else:
            assert value == other[key], key


@pytest.mark.parametrize('options', [{}, SKIP, CHAIN, dict(recurrent='none')])
@pytest.mark.parametrize('weights', [None, [1.0, 0.5, 3.0]])
def test_each_path_has_the_mean_of_its_probabilities(options, weights):
    head = build(**options, postprocessor=all_paths())
    views = views_of()
    with torch.no_grad():
        samples = predict(head, views, weights=weights)
    for row, sample in enumerate(samples):
        expected = {path: mixture(head, views, row, path, weights) for path in paths_of(head)}
        found = dict(
            zip(map(tuple, sample.pred_paths), sample.pred_path_log_probs.tolist(), strict=True)
        )
        assert found.keys() == expected.keys()
        for path, value in expected.items():
            assert found[path] == pytest.approx(value, abs=2e-5)
        assert tuple(sample.pred_label.tolist()) == max(expected, key=expected.get)
        assert sample.pred_proven
        total = float(sample.pred_step_log_probs.sum())
        assert total == pytest.approx(max(expected.values()), abs=2e-5)


def test_best_path_may_be_no_views_best():
    """By hand: 0.5, 0.4, 0.1 and 0.1, 0.4, 0.5; merging the views' best paths would lose it."""
    first = torch.tensor([[0.5, 0.4, 0.1, 0.0], [0.1, 0.4, 0.5, 0.0]]).log()
    ended = torch.tensor([0.0, 0.0, 0.0, 1.0]).log()

    def step(tokens, state):
        (views,) = state
        return torch.where((tokens == 4).unsqueeze(1), first[views], ended), state

    views = torch.arange(2)
    for view in (0, 1):
        found = beam_search(step, (views[[view]],), torch.tensor([4]), 3, beam_size=1)
        assert found.paths[0, 0].tolist() == [2 * view]
    mixed, state = mix_views(step, (views,), torch.tensor([0.5, 0.5]).log(), 1, 3)
    found = beam_search(mixed, state, torch.tensor([4]), 3, beam_size=1)
    assert found.paths[0, 0].tolist() == [1] and found.proven.tolist() == [True]
    torch.testing.assert_close(found.log_probs[0, 0].exp(), torch.tensor(0.4))
    torch.testing.assert_close(found.lower[0], torch.tensor([0.3, 0.4, 0.3]))


def test_beam_search_finds_the_same():
    views = views_of()
    every = predict(build(postprocessor=all_paths()), views)
    found = predict(build(postprocessor=dict(beam_size=20)), views)
    for one, other in zip(every, found, strict=True):
        assert other.pred_proven and one.pred_paths[0] == other.pred_paths[0]
        torch.testing.assert_close(one.pred_path_log_probs[0], other.pred_path_log_probs[0])


def test_certified_bounds_hold_for_the_mean_of_the_marginals():
    """With a chain each set has one path, so that the marginals can be summed up."""
    views = views_of()
    exact = torch.zeros(N, C)
    head = build(**CHAIN)
    for row in range(N):
        for path in paths_of(head):
            exact[row, list(path)] += np.exp(mixture(head, views, row, path))
    for search in (dict(beam_size=1), dict(beam_size=2), all_paths()):
        head = build(**CHAIN, postprocessor=search)
        for truth, sample in zip(exact, predict(head, views), strict=True):
            assert bool((sample.pred_score_lower <= truth + 1e-5).all())
            assert bool((truth <= sample.pred_score_upper + 1e-5).all())
            if 'num_paths' in search:
                torch.testing.assert_close(sample.pred_score_lower, truth, atol=1e-5, rtol=0)


@pytest.mark.parametrize('search', [dict(beam_size=3), dict(type='BestFirstPostprocessor')])
@pytest.mark.parametrize('options', [{}, SKIP, CHAIN])
def test_equal_views_give_the_single_result(options, search):
    head = build(**options, postprocessor=search)
    (view,) = views_of(1)
    alone = head.predict((view,))
    for number in (1, 2, 3):
        for one, other in zip(predict(head, [view] * number), alone, strict=True):
            assert_same(fields_of(one), fields_of(other), atol=2e-6, rtol=1e-5)


def test_sequence_of_views_does_not_matter():
    head = build(**SKIP, postprocessor=dict(beam_size=3, marginal_share=0.5))
    views, weights = views_of(), [1.0, 2.0, 4.0]
    first = predict(head, views, weights=weights)
    for places in permutations(range(3)):
        other = predict(head, [views[i] for i in places], weights=[weights[i] for i in places])
        for one, two in zip(first, other, strict=True):
            assert_same(fields_of(one), fields_of(two), atol=1e-5, rtol=1e-5)


def test_batch_of_one_equals_batch_of_many():
    head = build(**SKIP, postprocessor=dict(beam_size=2, set_log_prob=True))
    views = views_of(2, images=5)
    together = predict(head, views)
    for row, sample in enumerate(together):
        (alone,) = predict(head, [view[[row]] for view in views])
        assert_same(fields_of(alone), fields_of(sample), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('use_trie', [True, False])
def test_known_beginning_counts_for_the_views_that_expected_it(use_trie):
    """P(path given prefix) = mean of P(path) / mean of P(prefix), which is Bayes' rule."""
    prefix = (1, 3)
    head = build(use_trie=use_trie, postprocessor=all_paths(constraints=dict(prefix=prefix)))
    views = views_of()
    for row, sample in enumerate(predict(head, views)):
        starts = []
        for view in views:
            tokens = torch.tensor([[head.vocabulary.start, *prefix]])
            steps = head((view[[row]],), tokens).log_softmax(-1)[0]
            starts.append(float(steps[0, prefix[0]] + steps[1, prefix[1]]))
        of_prefix = np.logaddexp.reduce(starts) - np.log(len(views))
        assert len(sample.pred_paths) == 5
        for path, value in zip(sample.pred_paths, sample.pred_path_log_probs.tolist(), strict=True):
            expected = mixture(head, views, row, path) - of_prefix
            assert value == pytest.approx(expected, abs=3e-5)


def test_set_probability_and_expected_f1_are_the_mixtures():
    options = dict(set_log_prob=True, decision=dict(type='ExpectedF1Decision', num_samples=64))
    head = build(postprocessor=all_paths(**options))
    views = views_of()
    for row, sample in enumerate(predict(head, views)):
        orders = permutations(sample.pred_paths[0])
        expected = np.logaddexp.reduce([mixture(head, views, row, one) for one in orders])
        assert sample.pred_set_log_prob_lower == pytest.approx(expected, abs=3e-5)
        assert set(sample.pred_label.tolist()) <= set(range(C))


@given(st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_steps_are_a_distribution_and_follow_the_chain_rule(num_views, seed, bars):
    """For any step function, views without a chance included."""
    generator = torch.Generator().manual_seed(seed)
    tables = 2 * torch.randn(num_views, C + 2, C + 1, generator=generator)
    if bars:
        tables[torch.rand(tables.shape, generator=generator) < 0.3] = -torch.inf
        tables[..., C] = tables[..., C].clamp(min=-3.0)
    tables = tables.log_softmax(-1)
    weights = torch.rand(num_views, generator=generator).double() + 0.1
    log_weights = (weights / weights.sum()).log()

    def step(tokens, state):
        return tables[state[0], tokens], state

    mixed, state = mix_views(step, (torch.arange(num_views),), log_weights, 1, C)
    token, total, each = torch.tensor([C + 1]), 0.0, log_weights.clone()
    for _ in range(5):
        log_probs, state = mixed(token, state)
        assert not log_probs.isnan().any()
        if total > -np.inf:
            assert float(log_probs.exp().sum()) == pytest.approx(1.0, abs=1e-5)
        following = torch.randint(0, C, (1,), generator=generator)
        each = each + tables[:, token, following].squeeze(1)
        total = total + float(log_probs[0, following])
        assert total == pytest.approx(float(each.logsumexp(0)), abs=1e-4)
        token = following


def test_pooled_with_the_label_heads_mean():
    share = [0.0, 0.25, 0.5, 1.0]
    torch.manual_seed(0)
    path = dict(embed_dims=8, hidden_dims=5, dropout=0.0)
    head = HybridHead(C, path, dict(type='CSRAClsHead', num_heads=1, lam=0.1), F, share).eval()
    views = [torch.randn(N, F, 2, 3) for _ in range(2)]
    found = predict(head, views)
    paths = predict(head.path_head, views)
    sigmoids = torch.stack([head.label_head((view,)).sigmoid() for view in views]).mean(0)
    for sample, alone, mean in zip(found, paths, sigmoids, strict=True):
        expected = torch.lerp(alone.pred_score, mean, torch.tensor(share))
        torch.testing.assert_close(sample.pred_score, expected)
        torch.testing.assert_close(sample.pred_score_lower, alone.pred_score_lower)
        torch.testing.assert_close(sample.pred_score_independent, mean)
        assert sample.pred_label_independent.tolist() == (mean >= 0.5).nonzero()[:, 0].tolist()
        assert sample.pred_paths == alone.pred_paths


def test_regions():
    head = build(RLSDHead, postprocessor=all_paths())
    views = [make_regions([3, 3], seed=seed) for seed in (1, 2)]
    data = [[DataSample(), DataSample()] for _ in views]
    found = PathTTA(module=Model(head)).test_step(dict(inputs=views, data_samples=data))
    for row, sample in enumerate(found):
        assert 'pred_label_regions' not in sample
        for path, value in zip(sample.pred_paths, sample.pred_path_log_probs.tolist(), strict=True):
            tokens = torch.tensor([[head.vocabulary.start, *path]] * 2)
            each = []
            for view in views:
                steps = head((view,), tokens).log_softmax(-1)[row]
                ends = [*path, head.vocabulary.end]
                each.append(float(sum(steps[i, label] for i, label in enumerate(ends))))
            assert value == pytest.approx(np.logaddexp.reduce(each) - np.log(2), abs=3e-5)
    other = make_regions([2, 2], seed=3)
    with pytest.raises(UsageError, match='regions an image'):
        PathTTA(module=Model(head)).test_step(dict(inputs=[views[0], other], data_samples=data))


@pytest.mark.parametrize(
    'head',
    [
        MultiLabelLinearClsHead(C, F, thr=0.4),
        MultiLabelLinearClsHead(C, F, topk=2),
        LinearLabelHead(C, F, hidden_dims=3),
        LinearClsHead(C, F),
    ],
    ids=lambda head: type(head).__name__,
)
def test_hosts_heads_get_the_mean_score_and_their_own_decision(head):
    head = head.eval()
    for weight in head.parameters():
        torch.nn.init.normal_(weight)
    views = views_of()
    each = torch.stack([torch.stack([s.pred_score for s in head.predict((v,))]) for v in views])
    weights = torch.tensor([0.5, 0.25, 0.25])
    scores = (weights.view(3, 1, 1) * each).sum(0)
    samples = [DataSample().set_gt_label([1]) for _ in range(N)]
    found = predict(head, views, samples, weights=[2, 1, 1])
    for given_sample, sample, score in zip(samples, found, scores, strict=True):
        assert sample is given_sample and sample.gt_label.tolist() == [1]
        torch.testing.assert_close(sample.pred_score, score)
        expected = (score >= 0.5).nonzero()[:, 0].tolist()
        if isinstance(head, LinearClsHead):
            expected = [int(score.argmax())]
        elif getattr(head, 'topk', None) == 2:
            expected = score.topk(2).indices.tolist()
        elif head.thr == 0.4:
            expected = (score >= 0.4).nonzero()[:, 0].tolist()
        assert sample.pred_label.tolist() == expected


def test_tasks_one_by_one(default_scope):
    default_scope('mmpretrain')
    things, kind = build(), LinearClsHead(3, F)
    views = views_of(2)
    samples = [MultiTaskDataSample() for _ in range(N)]
    for row, sample in enumerate(samples):
        sample.set_field(DataSample().set_gt_label(row % 3), 'kind')
        if row != 1:
            sample.set_field(DataSample().set_gt_label([row]), 'things')
    head = MultiTaskHead(dict(things=things, kind=kind)).eval()
    found = predict(head, views, samples)
    assert [one.things.eval_mask for one in found] == [True, False, True]
    assert [one.kind.eval_mask for one in found] == [True] * 3
    for sample, one, other in zip(found, predict(things, views), predict(kind, views), strict=True):
        assert_same(fields_of(sample.things), fields_of(one))
        assert_same(fields_of(sample.kind), fields_of(other))
    assert found[0].things.gt_label.tolist() == [0]


def test_averaged_weights_of_a_checkpoint_are_loaded():
    """As ``EMAHook`` does it: under the names that they have without views."""
    trained, fresh = Model(build()), Model(build(recurrent='lstm'))
    torch.nn.init.ones_(fresh.head.decoder.embedding.weight)
    stored = ExponentialMovingAverage(trained).state_dict()
    averaged = ExponentialMovingAverage(PathTTA(module=fresh))
    averaged.load_state_dict(stored, strict=True)
    loaded = averaged.module.module.state_dict()
    assert loaded.keys() == trained.state_dict().keys()
    for name, value in trained.state_dict().items():
        assert torch.equal(loaded[name], value), name
    wrapped = PathTTA(module=fresh)
    wrapped.load_state_dict(wrapped.state_dict(), strict=True)


def test_bad_input():
    model = Model(build())
    samples = [DataSample()]
    with pytest.raises(UsageError, match='put TestTimeAug into tta_pipeline'):
        PathTTA(module=model).test_step(dict(inputs=[torch.rand(F)], data_samples=samples))
    with pytest.raises(UsageError, match='2 weights for 3 views'):
        predict(model.head, views_of(), weights=[1, 1])
    for weights in ([], [1.0, 0.0], [1.0, float('nan')], [float('inf')]):
        with pytest.raises(UsageError, match='one number above 0 for each view'):
            PathTTA(weights, module=model)


def test_image_with_nan_in_one_view_is_named():
    views = views_of(2)
    views[1][2] = torch.nan
    samples = [DataSample(metainfo=dict(img_path=f'{row}.jpg')) for row in range(N)]
    with pytest.raises(NonFiniteScoresError, match=r'2\.jpg'):
        predict(build(), views, samples)
    step, state = mix_views(*build().decoder.begin_search(torch.randn(4, 8)), torch.zeros(1), 4, C)
    sets = [[0, 1], [2], [], [3, 1, 0]]
    lower, upper = set_log_probs(step, state, torch.full((4,), C + 1), C, sets)
    torch.testing.assert_close(lower, upper)  # hypotheses that are barred give no NaN
