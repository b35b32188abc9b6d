# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import SequenceLoss

C = 4
END, START, PADDING = 4, 5, -100


def lists(*labels):
    return [torch.tensor(one, dtype=torch.long) for one in labels]


def plain_loss(probabilities, labels, class_weight=None, end_weight=1.0, smoothing=0.0):
    """Mean over images of the summed steps, from probabilities (N, T, V), in plain python."""
    weight = [*(class_weight or [1.0] * C), end_weight]
    total = 0.0
    for image, one in enumerate(labels):
        for step, target in enumerate([*one, END]):
            for token in range(C + 1):
                share = smoothing / (C + 1) + (1 - smoothing) * (token == target)
                total -= weight[token] * share * math.log(probabilities[image][step][token])
    return total / len(labels)


def test_sequences_of_a_batch():
    inputs, targets = SequenceLoss(C).make_sequences(lists([2, 0, 3], [], [1]))
    assert inputs[:, 0].tolist() == [START] * 3
    assert inputs[0].tolist() == [START, 2, 0, 3]
    assert inputs[2, :2].tolist() == [START, 1]
    assert bool(((inputs >= 0) & (inputs <= START)).all())  # valid rows of the embedding
    assert targets.tolist() == [
        [2, 0, 3, END],
        [END, PADDING, PADDING, PADDING],
        [1, END, PADDING, PADDING],
    ]


def test_sequences_of_images_without_labels():
    inputs, targets = SequenceLoss(C).make_sequences(lists([], []))
    assert inputs.tolist() == [[START], [START]]
    assert targets.tolist() == [[END], [END]]


def test_labels_keep_their_order():
    inputs, targets = SequenceLoss(C).make_sequences(lists([3, 1, 2, 0]))
    assert inputs.tolist() == [[START, 3, 1, 2, 0]]
    assert targets.tolist() == [[3, 1, 2, 0, END]]


LABELS = ([2, 0, 3], [], [1], [3, 1])


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'class_weight': [0.5, 2.0, 1.0, 3.0]},
        {'end_weight': 0.25},
        {'label_smoothing': 0.2},
        {'label_smoothing': 0.1, 'class_weight': [0.5, 2.0, 1.0, 3.0], 'end_weight': 0.0},
    ],
)
def test_value_against_plain_python(options):
    module = SequenceLoss(C, **options)
    _, targets = module.make_sequences(lists(*LABELS))
    scores = 3 * torch.randn(4, 4, C + 1)
    renamed = {
        {'label_smoothing': 'smoothing'}.get(key, key): value for key, value in options.items()
    }
    expected = plain_loss(scores.double().softmax(-1).tolist(), LABELS, **renamed)
    assert float(module(scores, targets)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('options', [{}, {'label_smoothing': 0.2, 'end_weight': 0.5}])
def test_only_the_targets_that_count_give_the_same_value_and_gradient(options):
    module = SequenceLoss(C, class_weight=[0.5, 2.0, 1.0, 3.0], **options)
    _, targets = module.make_sequences(lists(*LABELS))
    valid = module.counts(targets)
    assert valid.tolist() == [[step <= len(one) for step in range(4)] for one in LABELS]
    padded = (3 * torch.randn(4, 4, C + 1)).requires_grad_()
    whole, few = module(padded, targets), module(padded[valid], targets[valid])
    torch.testing.assert_close(few, whole)
    gradients = [torch.autograd.grad(loss, padded)[0] for loss in (few, whole)]
    torch.testing.assert_close(*gradients)


def test_known_value():
    """An image of two labels at 1/2, 1/4, 1/8 and one without labels at 1/2: log 2 * 7 / 2."""
    scores = torch.full((2, 3, C + 1), -math.inf)
    for step, (label, power) in enumerate([(1, 1), (0, 2), (END, 3)]):
        scores[0, step, label] = math.log(2.0**-power)
        scores[0, step, 2] = math.log(1 - 2.0**-power)
    scores[1, :, END] = scores[1, :, 3] = math.log(0.5)
    module = SequenceLoss(C)
    _, targets = module.make_sequences(lists([1, 0], []))
    assert float(module(scores, targets)) == pytest.approx(math.log(2) * (1 + 2 + 3 + 1) / 2)


def test_loss_weight_scales():
    _, targets = SequenceLoss(C).make_sequences(lists(*LABELS))
    scores = torch.randn(4, 4, C + 1)
    one, half = SequenceLoss(C)(scores, targets), SequenceLoss(C, loss_weight=0.5)(scores, targets)
    torch.testing.assert_close(half, one / 2)


def test_a_shift_of_the_scores_changes_nothing():
    """Scores are not normalised; whoever skips the softmax fails here."""
    module = SequenceLoss(C)
    _, targets = module.make_sequences(lists(*LABELS))
    scores = torch.randn(4, 4, C + 1)
    torch.testing.assert_close(module(scores, targets), module(scores + 7.0, targets))


def test_padding_has_no_gradient_and_end_has():
    module = SequenceLoss(C, label_smoothing=0.1)
    _, targets = module.make_sequences(lists(*LABELS))
    scores = torch.randn(4, 4, C + 1, requires_grad=True)
    module(scores, targets).backward()
    moved = scores.grad.abs().sum(-1) > 0
    assert moved.tolist() == [[step <= len(one) for step in range(4)] for one in LABELS]


def test_long_neighbour_does_not_change_the_share_of_an_image():
    """Images are averaged, not tokens, thus padding and neighbours do not matter."""
    module = SequenceLoss(C)
    scores = torch.randn(2, 5, C + 1)
    together = module(scores, module.make_sequences(lists([1], [3, 1, 2, 0]))[1])
    short = module(scores[:1, :2], module.make_sequences(lists([1]))[1])
    long = module(scores[1:], module.make_sequences(lists([3, 1, 2, 0]))[1])
    torch.testing.assert_close(together, (short + long) / 2)


def test_split_of_a_batch_over_processes_of_equal_share():
    module = SequenceLoss(C, class_weight=[0.5, 2.0, 1.0, 3.0])
    labels = lists(*LABELS)
    scores = torch.randn(4, 4, C + 1)
    whole = module(scores, module.make_sequences(labels)[1])
    halves = []
    for part in (slice(0, 2), slice(2, 4)):
        _, targets = module.make_sequences(labels[part])
        halves.append(module(scores[part, : targets.shape[1]], targets))
    torch.testing.assert_close(whole, sum(halves) / 2)


def test_half_precision_scores():
    """Summed in single precision: 400 images of 40 steps overflow half precision."""
    num_classes = 40
    module = SequenceLoss(num_classes)
    _, targets = module.make_sequences([torch.arange(num_classes)] * 400)
    value = module(torch.zeros(400, num_classes + 1, num_classes + 1).half(), targets)
    assert float(value) == pytest.approx((num_classes + 1) * math.log(num_classes + 1), rel=1e-5)


def test_weights_are_not_in_the_state_dict():
    assert not SequenceLoss(C, class_weight=[1, 2, 3, 4]).state_dict()


@pytest.mark.parametrize(
    ('labels', 'named'),
    [
        (([1], [0, 7]), 'label 7 of image 1 .*0..3'),
        (([END], [0]), 'label 4 of image 0 .*0..3'),
        (([1], [END]), 'label 4 of image 1 .*0..3'),
        (([0, 1], [2, START, 1]), 'label 5 of image 1'),
        (([-1], [0]), 'label -1 of image 0'),
        (([PADDING], [0]), 'label -100 of image 0'),
        (([1, 2], [3], [0, 2, 0]), 'label 0 comes twice in image 2'),
        (([3, 3], [1, 2, 0]), 'label 3 comes twice in image 0'),
    ],
)
def test_wrong_labels_are_named(labels, named):
    with pytest.raises(UsageError, match=named):
        SequenceLoss(C).make_sequences(lists(*labels))


@given(
    st.lists(
        st.permutations(range(C)).flatmap(lambda p: st.integers(0, C).map(lambda n: p[:n])),
        min_size=1,
    )
)
def test_valid_labels_pass_and_come_back(labels):
    inputs, targets = SequenceLoss(C).make_sequences(lists(*labels))
    assert inputs.shape == targets.shape == (len(labels), max(map(len, labels)) + 1)
    for row, fed, one in zip(targets.tolist(), inputs.tolist(), labels, strict=True):
        assert [value for value in row if value != PADDING] == [*one, END]
        assert fed[: len(one) + 1] == [START, *one]


@pytest.mark.parametrize('value', [-0.1, 1.0, 1.5])
def test_smoothing_out_of_range(value):
    with pytest.raises(UsageError, match=str(value)):
        SequenceLoss(C, label_smoothing=value)


def test_class_weight_of_wrong_length():
    with pytest.raises(UsageError, match='5 entries for 4 classes'):
        SequenceLoss(C, class_weight=[1.0] * 5)
