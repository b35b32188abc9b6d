# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Search with the decoder's trie: the same results as without, whatever the memory."""

import copy
import pickle

import pytest
import torch

from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.models.decoders import RECURRENT_LAYERS

C, F = 6, 5
SEARCHES = {
    'beam': dict(type='BeamSearchPostprocessor', beam_size=4),
    'best first': dict(type='BestFirstPostprocessor', num_paths=3),
}
#: Given prefixes of different lengths, which are read before the search begins.
PREFIXES = [dict(prefix=[1]), dict(prefix=[2, 5]), {}, dict(prefix=[3, 4, 0, 5, 1])]


def build(recurrent='lstm', seed=0, **options):
    """A head whose images get different paths of several labels."""
    torch.manual_seed(seed)
    options = {'embed_dims': 8, 'hidden_dims': 8, 'dropout': 0.0, **options}
    head = CNNRNNHead(num_classes=C, in_channels=F, recurrent=recurrent, **options).eval()
    with torch.no_grad():
        head.decoder.embedding.weight.mul_(4)
        for weights in head.decoder.recurrent.parameters():
            weights.mul_(2)
    return head


def without_trie(head, features, **options):
    """What a search of the present weights gives that remembers nothing."""
    head.use_trie = False
    samples = head.predict((features,), **options)
    head.use_trie = True
    return samples


def assert_same(samples, expected, atol=1e-5):
    assert len(samples) == len(expected)
    for one, other in zip(samples, expected, strict=True):
        assert one.pred_paths == other.pred_paths
        close = dict(atol=atol, rtol=0)
        torch.testing.assert_close(one.pred_path_log_probs, other.pred_path_log_probs, **close)
        torch.testing.assert_close(one.pred_step_log_probs, other.pred_step_log_probs, **close)
        torch.testing.assert_close(one.pred_score, other.pred_score, **close)


@pytest.mark.parametrize('search', SEARCHES)
@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_same_results_batch_after_batch(recurrent, search):
    head = build(recurrent, postprocessor=SEARCHES[search])
    batches = [2 * torch.randn(size, F) for size in (5, 1, 9, 2)]
    expected = [without_trie(head, features) for features in batches]
    assert head.decoder.trie is None
    assert len({len(sample.pred_label) for samples in expected for sample in samples}) > 1
    for samples, features in zip(expected, batches, strict=True):
        assert_same(head.predict((features,)), samples)
    trie = head.decoder.trie
    assert 0 < trie.hits < trie.lookups  # the first batch knew nothing, the others something
    for samples, features in zip(expected, batches, strict=True):
        hits, lookups = trie.hits, trie.lookups
        assert_same(head.predict((features,)), samples)
        assert head.decoder.trie is trie
        assert trie.hits - hits == trie.lookups - lookups > 0


@pytest.mark.parametrize('search', SEARCHES)
def test_recurrent_layer_runs_for_new_paths_alone(search, monkeypatch):
    head = build(postprocessor=SEARCHES[search])
    calls, real = [], head.decoder.recurrent.advance

    def advance(drives, state):
        calls.append(len(drives))
        return real(drives, state)

    monkeypatch.setattr(head.decoder.recurrent, 'advance', advance)
    features = 2 * torch.randn(6, F)
    head.predict((features,))
    assert sum(calls) == head.decoder.trie.num_nodes - 1  # a run a node, none for the root
    calls.clear()
    head.predict((features.flip(0),))
    assert calls == []


@pytest.mark.parametrize('activation', ['relu', 'tanh', 'identity'])
def test_activation_comes_behind_the_sum(activation):
    head = build(activation=activation)
    features = 2 * torch.randn(6, F)
    assert_same(head.predict((features,)), without_trie(head, features))


@pytest.mark.parametrize('trie_bytes', [1, 3000, 20_000])
@pytest.mark.parametrize('search', SEARCHES)
@pytest.mark.parametrize('recurrent', ['lstm', 'none'])
def test_small_memory_does_not_change_results(recurrent, search, trie_bytes):
    cfg = dict(SEARCHES[search], set_log_prob=True)
    head = build(recurrent, postprocessor=cfg, trie_bytes=trie_bytes)
    for size in (5, 1, 9, 5):
        features = 2 * torch.randn(size, F)
        samples, expected = head.predict((features,)), without_trie(head, features)
        assert_same(samples, expected)
        for name in ('pred_set_log_prob_lower', 'pred_set_log_prob_upper'):
            found = [sample.get(name) for sample in samples]
            assert found == pytest.approx([sample.get(name) for sample in expected], abs=1e-5)


@pytest.mark.parametrize('trie_bytes', [1, 500, 2000, 2**20])
@pytest.mark.parametrize('search', SEARCHES)
def test_prefixes_of_different_lengths_in_a_small_memory(search, trie_bytes):
    """While the longest prefix is read, the ends of the shorter ones must stay."""
    cfg = dict(SEARCHES[search], set_log_prob=True)
    for seed in range(2):
        head = build(seed=seed, postprocessor=cfg, trie_bytes=trie_bytes)
        features = 2 * torch.randn(4, F)
        samples = head.predict((features,), constraints=PREFIXES)
        expected = without_trie(head, features, constraints=PREFIXES)
        assert_same(samples, expected)
        assert [s.pred_set_log_prob_lower for s in samples] == pytest.approx(
            [s.pred_set_log_prob_lower for s in expected], abs=1e-5
        )


def test_trie_is_no_weight():
    head = build()
    names = set(head.state_dict())
    head.predict((torch.randn(3, F),))
    assert set(head.state_dict()) == names
    assert {name for name, _ in head.named_parameters()} == names
    assert [name for name, _ in head.named_buffers()] == ['loss_module.weight']


def test_no_trie_while_training():
    """Dropout makes every hypothesis different, and what it gave must not be kept."""
    head = build(dropout=0.5)
    features = 2 * torch.randn(4, F)
    expected = head.predict((features,))
    head.train()
    with torch.no_grad():
        first, second = (head.predict((features,)) for _ in range(2))
        assert head.decoder.trie is None
        image = torch.zeros(50, 8)  # of the decoder alone: no dropout on the image
        step, state = head.decoder.begin_search(image)
        log_probs, _ = step(torch.full((50,), head.vocabulary.start), state)
    assert len(log_probs.unique(dim=0)) > 25
    one, other = (
        torch.cat([sample.pred_path_log_probs for sample in samples]) for samples in (first, second)
    )
    assert one.shape != other.shape or not torch.allclose(one, other)
    assert_same(head.eval().predict((features,)), expected)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize('search', SEARCHES)
def test_inference_mode_no_grad_and_neither_in_any_order(order, search):
    """What one mode has put into the trie serves the others."""
    head = build(postprocessor=dict(SEARCHES[search], set_log_prob=True), trie_bytes=6000)
    modes = (torch.inference_mode, torch.no_grad, torch.enable_grad)
    features = [2 * torch.randn(size, F) for size in (3, 5, 2)]
    for mode in order:
        for one in features:
            with modes[mode]():
                samples = head.predict((one,))
            assert_same(samples, without_trie(head, one))
            for sample in samples if modes[mode] is not torch.inference_mode else ():
                assert not sample.pred_score.requires_grad
                sample.pred_score += 1  # a normal tensor though the search ran in that mode
                sample.pred_path_log_probs.mul_(2)


def test_features_that_require_a_gradient():
    head = build()
    features = (2 * torch.randn(4, F)).requires_grad_()
    assert_same(head.predict((features,)), without_trie(head, features.detach()))
    assert features.grad is None and head.decoder.embedding.weight.grad is None
    step, state = head.decoder.begin_search(head.decoder.project_image(features))
    log_probs, _ = step(torch.full((4,), head.vocabulary.start), state)
    log_probs[:, 0].sum().backward()  # through the image's share, which is not kept
    assert float(features.grad.abs().sum()) > 0


def test_copies_do_not_share_their_paths():
    head = build()
    features = 2 * torch.randn(4, F)
    expected = head.predict((features,))
    trie = head.decoder.trie
    other = copy.deepcopy(head)
    with torch.no_grad():
        for weights in other.parameters():
            weights.mul_(-1.5)
    hits, lookups = trie.hits, trie.lookups
    changed = other.predict((features,))
    assert_same(changed, without_trie(other, features))
    assert [s.pred_paths for s in changed] != [s.pred_paths for s in expected]
    assert other.decoder.trie is not trie and (trie.hits, trie.lookups) == (hits, lookups)
    assert_same(head.predict((features,)), expected)
    assert head.decoder.trie is trie
    for weights in other.parameters():
        weights.data.zero_()
    assert_same(head.predict((2 * features,)), without_trie(head, 2 * features))


@pytest.mark.parametrize('activation', ['relu', 'tanh', 'identity'])
def test_pickle(activation):
    head = build(activation=activation)
    features = 2 * torch.randn(4, F)
    expected = head.predict((features,))
    other = pickle.loads(pickle.dumps(head))
    assert_same(other.predict((features,)), expected)
    with torch.no_grad():
        other.decoder.recurrent.cell.weight_hh_l0.mul_(-3)
    assert_same(other.predict((2 * features,)), without_trie(other, 2 * features))
    assert_same(head.predict((features,)), expected)
