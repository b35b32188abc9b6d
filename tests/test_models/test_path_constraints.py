# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Constraints of the config, of a call, and the order of training."""

import copy

import numpy as np
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import BeamSearchPostprocessor, BestFirstPostprocessor
from cnnrnn_mm.search import Constraints

C = 4
BOTH = pytest.mark.parametrize('kind', [BeamSearchPostprocessor, BestFirstPostprocessor])


#: Label 0 is the most probable at every step, then 1, 2, 3 and END; no two paths are equal.
TABLE = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).repeat(C + 2, 1)
TABLE = (TABLE.log() + 0.01 * torch.arange(6).unsqueeze(1) * torch.arange(5)).log_softmax(-1)


def step(tokens, state):
    return TABLE[tokens], state


def decode(post, num_images=1, **options):
    return post(step, (torch.zeros(num_images),), **options)


@BOTH
def test_mapping_is_added_to_the_config_s(kind):
    post = kind(C, constraints=dict(forbidden=[0], min_length=1))
    assert decode(post)[0].pred_label.tolist() == [1]
    assert decode(post, constraints={})[0].pred_label.tolist() == [1]
    (sample,) = decode(post, constraints=dict(forbidden=[1]))
    assert sample.pred_label.tolist() == [2]
    assert sample.pred_score[:2].tolist() == [0, 0]
    (sample,) = decode(post, constraints=dict(min_length=2, required=[3]))
    assert sample.pred_label.tolist() in ([1, 3], [3, 1])
    assert decode(post)[0].pred_label.tolist() == [1]  # nothing stays from call to call


@BOTH
def test_constraints_replace_the_config_s(kind):
    post = kind(C, constraints=dict(forbidden=[0], min_length=1))
    (sample,) = decode(post, constraints=Constraints(forbidden=[1], min_length=1))
    assert sample.pred_label.tolist() == [0]
    assert float(sample.pred_score[0]) > 0 and float(sample.pred_score[1]) == 0
    assert decode(post, constraints=Constraints())[0].pred_label.tolist() == []


@BOTH
@pytest.mark.parametrize('as_type', [list, tuple])
def test_one_for_each_image(kind, as_type):
    post = kind(C, constraints=dict(forbidden=[0], min_length=1))
    each = as_type([dict(forbidden=[1]), Constraints(required=[3]), {}, dict(prefix=[3, 2]), None])
    samples = decode(post, 5, constraints=each)
    assert [sample.pred_label.tolist() for sample in samples] == [[2], [3], [1], [3, 2], [1]]
    zero = [(sample.pred_score == 0).nonzero().flatten().tolist() for sample in samples]
    assert zero[0] == [0, 1] and zero[1] == [] and zero[2] == [0]
    assert samples[1].pred_score[3] == 1 and samples[3].pred_score[2:].tolist() == [1, 1]
    alone = [decode(post, constraints=[one])[0] for one in each]
    for one, other in zip(samples, alone, strict=True):
        assert one.pred_paths == other.pred_paths
        assert one.pred_score.tolist() == pytest.approx(other.pred_score.tolist())


@BOTH
def test_wrong_constraints_of_a_call(kind):
    post = kind(C, constraints=dict(forbidden=[0]))
    with pytest.raises(UsageError, match=r"constraint 'forbiden' is not known.*forbidden"):
        decode(post, constraints=dict(forbiden=[1]))
    with pytest.raises(UsageError, match='label 0 is forbidden and required'):
        decode(post, constraints=dict(required=[0]))
    with pytest.raises(UsageError, match='required holds label 4, which is outside 0..3'):
        decode(post, 2, constraints=[{}, dict(required=[4])])
    with pytest.raises(UsageError, match='2 constraints for 3 images'):
        decode(post, 3, constraints=[{}, {}])


@BOTH
@pytest.mark.parametrize(
    ('constraints', 'named'),
    [
        (dict(forbiden=[1]), "constraint 'forbiden' is not known"),
        (dict(min_length=5), 'min_length is 5'),
        (dict(required=[1], forbidden=[1]), 'label 1 is forbidden and required'),
        (dict(order=[0, 1, 2]), 'order has 3 distinct labels of 4'),
        (dict(order='trained'), "order is 'trained'"),
        (dict(order='training', prefix=[7]), 'prefix holds label 7'),
    ],
    ids=str,
)
def test_constraints_of_the_config_are_checked_when_built(kind, constraints, named):
    with pytest.raises(UsageError, match=named):
        kind(C, constraints=constraints)


@BOTH
@pytest.mark.parametrize('as_type', [list, tuple, np.array, torch.tensor])
def test_orders_of_all_kinds(kind, as_type):
    post = kind(C, constraints=dict(order=as_type([3, 2, 1, 0]), min_length=2))
    assert decode(post)[0].pred_label.tolist() == [1, 0]


# The order that the checkpoint was trained with.
def in_order(samples, order):
    paths = [[order.index(label) for label in path] for s in samples for path in s.pred_paths]
    assert max(map(len, paths)) > 1
    return all(path == sorted(path) for path in paths)


@BOTH
def test_training_order(kind):
    post = kind(C, num_paths=6, constraints=dict(order='training', min_length=2))
    with pytest.raises(UsageError, match='no order came with the checkpoint: train with Label'):
        decode(post)
    post.set_training_order('rare_first', [3, 1, 2, 0])
    samples = decode(post, 2)
    assert in_order(samples, [3, 1, 2, 0]) and samples[0].pred_label.tolist() == [1, 0]
    samples = decode(post, 2, constraints=[dict(required=[3]), dict(prefix=[1])])
    assert in_order(samples, [3, 1, 2, 0])
    assert [sample.pred_label.tolist() for sample in samples] == [[3, 0], [1, 0]]
    post.set_training_order('frequent_first', np.array([0, 1, 2, 3]))  # another checkpoint
    samples = decode(post)
    assert in_order(samples, [0, 1, 2, 3]) and samples[0].pred_label.tolist() == [0, 1]


@BOTH
def test_training_order_stays_with_copies(kind):
    post = kind(C, num_paths=6, constraints=dict(order='training', min_length=2))
    other = copy.deepcopy(post)
    post.set_training_order('rare_first', [3, 1, 2, 0])
    assert in_order(decode(copy.deepcopy(post)), [3, 1, 2, 0])
    with pytest.raises(UsageError, match='no order came'):
        decode(other)


@BOTH
def test_training_order_without_being_asked_for(kind):
    """Neither the order nor its absence, nor a wrong one, has any effect."""
    post = kind(C, num_paths=6, constraints=dict(min_length=2))
    before = decode(post)[0].pred_paths
    for name, order in (('rare_first', [3, 1, 2, 0]), ('random', [0, 1, 2, 3]), ('given', [0])):
        post.set_training_order(name, order)
        assert decode(post)[0].pred_paths == before
    listed = kind(C, num_paths=6, constraints=dict(order=[3, 2, 1, 0], min_length=2))
    listed.set_training_order('frequent_first', [0, 1, 2, 3])
    assert in_order(decode(listed), [3, 2, 1, 0])


@BOTH
def test_training_order_that_does_not_fit(kind):
    post = kind(C, constraints=dict(order='training', prefix=[0, 1]))
    with pytest.raises(UsageError, match="order='training', but .* 'random', a new one for each"):
        post.set_training_order('random', [0, 1, 2, 3])
    with pytest.raises(UsageError, match='order has 3 distinct labels of 4'):
        post.set_training_order('frequent_first', [0, 1, 2])
    with pytest.raises(UsageError, match=r'prefix \[0, 1\] is not in the canonical order'):
        post.set_training_order('frequent_first', [3, 2, 1, 0])
    with pytest.raises(UsageError, match='no order came'):  # none of them counts
        decode(post)
    post.set_training_order('fixed_random', [2, 0, 3, 1])
    assert decode(post)[0].pred_label.tolist() == [0, 1]


@BOTH
@pytest.mark.parametrize('given', ['dog', 3, ['dog'], [[dict(forbidden=[1])]], [3]])
def test_what_is_no_constraint_is_named(kind, given):
    with pytest.raises(UsageError, match='give a mapping, Constraints, or a list of them'):
        decode(kind(C), constraints=given)


@BOTH
def test_share_without_a_marginal_branch(kind):
    with pytest.raises(UsageError, match='marginal_share is 0.5, and there is no marginal branch'):
        decode(kind(C), marginal_share=0.5)
    with pytest.raises(UsageError, match='there is no marginal branch'):
        decode(kind(C), marginal_share=torch.full((C,), 0.5))
    assert len(decode(kind(C), marginal_share=0.0)) == 1
