# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the decoder remembers of label paths never outlives the weights that gave it."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmpretrain.structures import DataSample
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.models.decoders import RECURRENT_LAYERS

C, F = 6, 5
LABELS = ([2, 0, 3], [], [1], [3, 1])


def build(recurrent='lstm', seed=0, **options):
    torch.manual_seed(seed)
    options = {'embed_dims': 8, 'hidden_dims': 8, 'dropout': 0.0, **options}
    head = CNNRNNHead(num_classes=C, in_channels=F, recurrent=recurrent, **options).eval()
    with torch.no_grad():
        head.decoder.embedding.weight.mul_(4)
        for weights in head.decoder.recurrent.parameters():
            weights.mul_(2)
    return head


def log_probs_of(head, features, use_trie=True, **options):
    """Of each image's five best paths, beside the paths."""
    head.use_trie = use_trie
    samples = head.predict((features,), **options)
    paths = [sample.pred_paths for sample in samples]
    return paths, torch.cat([sample.pred_path_log_probs for sample in samples]).double()


def assert_fresh(head, features, before=None, atol=1e-5):
    """The trie gives what the weights give; ``before`` is what it gave with other weights."""
    paths, log_probs = log_probs_of(head, features)
    expected_paths, expected = log_probs_of(head, features, use_trie=False)
    head.use_trie = True
    assert paths == expected_paths
    torch.testing.assert_close(log_probs, expected, atol=atol, rtol=0)
    if before is not None:  # else the test would show nothing
        assert before[0] != paths or not torch.allclose(before[1], log_probs, atol=10 * atol)


def train_step(head, rate=1.0):
    """One update in evaluation mode, as whoever freezes dropout does it."""
    samples = [DataSample().set_gt_label(torch.tensor(one).long()) for one in LABELS]
    optimiser = torch.optim.SGD(head.parameters(), lr=rate)
    optimiser.zero_grad()
    head.loss((torch.randn(4, F),), samples)['loss'].backward()
    optimiser.step()


def load(head):
    head.load_state_dict(build(seed=1).state_dict())


def load_assign(head):
    head.load_state_dict(build(seed=1).state_dict(), assign=True)


def copy_data(head):
    other = dict(build(seed=1).named_parameters())
    for name, weights in head.named_parameters():
        weights.data.copy_(other[name].data)


def copy_data_between_modes(head):
    head.train()
    copy_data(head)
    head.eval()


def copy_data_of_the_recurrent_layer(head):
    for weights in head.decoder.recurrent.parameters():
        weights.data.mul_(-2)


def copy_data_of_the_output_projection(head):
    head.decoder.output_projection.weight.data.mul_(-2)


def new_data(head):
    for weights in head.parameters():
        weights.data = weights.data * -2


def new_data_in_one_vector(head):
    vector_to_parameters(-2 * parameters_to_vector(head.parameters()), head.parameters())


def new_parameter(head):
    weight = head.decoder.output_projection.weight
    head.decoder.output_projection.weight = torch.nn.Parameter(-2 * weight.detach())


def new_layer(head):
    head.decoder.recurrent = build(seed=1).decoder.recurrent


@torch.no_grad()
def one_weight(head):
    head.decoder.recurrent.cell.bias_hh_l0[3] += 5


@torch.no_grad()
def row_of_start(head):
    head.decoder.embedding.weight[C + 1] += 2


@torch.inference_mode()
def in_inference_mode(head):
    for weights in head.parameters():
        weights[:1] += 2


def initialise(head):
    torch.manual_seed(5)
    for weights in head.parameters():
        torch.nn.init.normal_(weights)


CHANGES = [
    train_step,
    load,
    load_assign,
    copy_data,
    copy_data_between_modes,
    copy_data_of_the_recurrent_layer,
    copy_data_of_the_output_projection,
    new_data,
    new_data_in_one_vector,
    new_parameter,
    new_layer,
    one_weight,
    row_of_start,
    in_inference_mode,
    initialise,
]


@pytest.mark.parametrize('change', CHANGES)
def test_weights_that_change(change):
    """More than once, since what is compared must be taken anew each time."""
    head = build()
    features = 2 * torch.randn(6, F)
    before = log_probs_of(head, features)
    assert head.decoder.trie.num_nodes > 1
    change(head)
    assert_fresh(head, features, before)
    before = log_probs_of(head, features)
    again = {load, load_assign, copy_data, copy_data_between_modes, new_layer, initialise}
    change(head)
    assert_fresh(head, features, None if change in again else before)


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_every_weight_of_a_path_counts(recurrent):
    """One entry of each parameter, the last one, as an optimiser would change it."""
    for name, _ in build(recurrent).decoder.named_parameters():
        head = build(recurrent)
        features = 2 * torch.randn(6, F)
        before = log_probs_of(head, features)
        with torch.no_grad():
            head.decoder.get_parameter(name).view(-1)[-8:] += 1
        assert_fresh(head, features, before)


def test_single_weights_of_a_large_layer():
    """Whatever looks at some of the weights alone misses one of these."""
    head = build(hidden_dims=64)
    features = 2 * torch.randn(3, F)
    for unit in range(5):
        before = log_probs_of(head, features)
        with torch.no_grad():
            head.decoder.recurrent.cell.weight_hh_l0[2 * 64 + unit, 1 + unit] += 50
        assert_fresh(head, features, before)


def test_there_and_back():
    """Averaged weights come for a validation and go again, by ``data`` alone."""
    head, other = build(), build(seed=1)
    features = 2 * torch.randn(6, F)
    before = log_probs_of(head, features)
    pairs = [*zip(head.parameters(), other.parameters(), strict=True)]
    for swap in range(3):
        for weights, averaged in pairs:
            kept = averaged.data.clone()
            averaged.data.copy_(weights.data)
            weights.data.copy_(kept)
        assert_fresh(head, features, before if swap % 2 == 0 else None)
    assert_fresh(other, features)


def test_clearing_by_hand():
    head = build()
    features = torch.randn(2, F)
    head.predict((features,))
    head.decoder.clear_trie()
    assert head.decoder.trie is None
    assert_fresh(head, features)


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_casts(recurrent):
    head = build(recurrent)
    features = 2 * torch.randn(6, F)
    single = log_probs_of(head, features)
    head.double()
    assert_fresh(head, features.double())
    assert head.decoder.trie.vectors(torch.zeros(1).long()).dtype == torch.float64
    head.bfloat16()
    assert_fresh(head, features.bfloat16(), atol=0.05)
    assert not torch.equal(log_probs_of(head, features.bfloat16())[1][:1], single[1][:1])
    with torch.no_grad():
        head.float().load_state_dict(build(recurrent).state_dict())
    assert_fresh(head, features)
    paths, log_probs = log_probs_of(head, features)
    assert paths == single[0] and torch.equal(log_probs, single[1])


def test_autocast_goes_on_and_off():
    """Half precision must neither stay in the trie nor be spared by what is there."""
    head = build()
    features = 2 * torch.randn(6, F)
    single = log_probs_of(head, features)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = log_probs_of(head, features)
        plain = log_probs_of(head, features, use_trie=False)
    head.use_trie = True
    with torch.autocast('cpu', dtype=torch.float16):
        other_half = log_probs_of(head, features)
    again = log_probs_of(head, features)
    assert again[0] == single[0] and torch.equal(again[1], single[1])
    for dtype, found in ((torch.bfloat16, half), (torch.float16, other_half)):
        fresh = build()
        fresh.load_state_dict(head.state_dict())
        with torch.autocast('cpu', dtype=dtype):
            expected = log_probs_of(fresh, features)
        assert expected[0] == found[0] and torch.equal(expected[1], found[1])
    assert not torch.equal(half[1][:1], single[1][:1])
    best = [[paths[0] for paths in one[0]] for one in (half, plain)]
    assert best[0] == best[1]
    torch.testing.assert_close(half[1][:1], plain[1][:1], atol=0.05, rtol=0.05)


# mmengine's averages.
def test_ema_hook():
    """After the swap, predictions are those of a new head with the averaged weights."""
    head = build()
    features = 2 * torch.randn(6, F)
    hook = EMAHook(momentum=0.3)
    runner = SimpleNamespace(model=head, iter=0, epoch=0)
    hook.before_run(runner)
    for step in range(4):
        runner.iter = step
        train_step(head)
        hook.after_train_iter(runner, step)
    for with_switch in (False, True):
        averaged = build()
        averaged.load_state_dict(hook.ema_model.module.state_dict())
        own = log_probs_of(head, features)  # fills the trie
        expected = log_probs_of(averaged, features)
        assert abs(float(own[1][0] - expected[1][0])) > 1e-3
        if with_switch:
            head.train().eval()
        hook.before_val_epoch(runner)
        paths, log_probs = log_probs_of(head, features)
        assert paths == expected[0]
        torch.testing.assert_close(log_probs, expected[1], atol=1e-6, rtol=0)
        hook.after_val_epoch(runner)
        paths, log_probs = log_probs_of(head, features)
        assert paths == own[0]
        torch.testing.assert_close(log_probs, own[1], atol=1e-6, rtol=0)
        train_step(head)
        hook.after_train_iter(runner, runner.iter)


def test_average_that_predicts_between_updates():
    """Its weights change by ``data`` alone, and no mode is ever switched."""
    head = build()
    average = ExponentialMovingAverage(head, momentum=0.2)
    features = 2 * torch.randn(6, F)
    before = None
    for _ in range(4):
        train_step(head)
        average.update_parameters(head)
        assert_fresh(average.module, features, before)
        before = log_probs_of(average.module, features)
