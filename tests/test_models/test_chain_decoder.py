# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
from itertools import combinations

import pytest
import torch
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import ChainDecoder, CNNRNNHead, Vocabulary
from cnnrnn_mm.search import Constraints, set_log_probs

C, F, D, N = 4, 6, 5, 3
ORDER = [2, 0, 3, 1]
SUBSETS = [list(one) for size in range(C + 1) for one in combinations(ORDER, size)]  # in order


def build(recurrent='gru', dropout=0.0, depends=True, **options):
    torch.manual_seed(0)
    decoder = ChainDecoder(Vocabulary(C), F, D, 7, recurrent, dropout, **options).eval()
    if depends:
        with torch.no_grad():
            decoder.classifier.weight.normal_(std=2.0)
            decoder.classifier.bias.normal_()
            decoder.embedding.weight.mul_(4)
            decoder.skip_scale.fill_(0.7)
    decoder.set_order('frequent_first', ORDER)
    return decoder


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, F, generator=generator), torch.randn(N, C, generator=generator)


def log_prob_of(decoder, image, path):
    """Step by step, with sigmoids written out, the recurrent layer run from START for each step."""
    total = 0.0
    for length in range(len(path) + 1):
        tokens = torch.tensor([[decoder.vocabulary.start, *path[:length]]])
        outputs, _ = decoder.recurrent(decoder.embedding(tokens), decoder.initial_state(image))
        inner = decoder.output_projection(outputs[0, -1])
        if decoder.image_projection is not None:
            inner = inner + image[0, C:]
        logits = image[0, :C] + decoder.classifier(decoder.activation(inner))
        place = ORDER.index(path[length - 1]) + 1 if length else 0
        end = ORDER.index(path[length]) if length < len(path) else C
        for label in ORDER[place:end]:
            total += math.log(1 - float(logits[label].sigmoid()))
        if length < len(path):
            total += math.log(float(logits[path[length]].sigmoid()))
    return total


@pytest.mark.parametrize('options', [{}, dict(read_image=True, activation='tanh')])
@pytest.mark.parametrize('recurrent', ['gru', 'lstm', 'relu_lstm', 'none'])
@torch.no_grad()
def test_every_label_set_has_the_probability_of_its_chain(recurrent, options):
    decoder = build(recurrent, **options)
    image = decoder.project_image(*inputs())
    for row in range(N):
        expected = [log_prob_of(decoder, image[row : row + 1], path) for path in SUBSETS]
        step, state = decoder.begin_search(image[row : row + 1].expand(len(SUBSETS), -1))
        start = torch.full((len(SUBSETS),), decoder.vocabulary.start)
        found, _ = set_log_probs(step, state, start, C, SUBSETS, Constraints(order=ORDER))
        torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)
        assert sum(map(math.exp, expected)) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_it_starts_as_one_sigmoid_a_label():
    decoder = build(depends=False)
    features, logits = inputs()
    image = decoder.project_image(features, logits)
    for path in SUBSETS:
        alone = torch.where(
            torch.tensor([label in path for label in range(C)]),
            logits.sigmoid(),
            (-logits).sigmoid(),
        )
        tokens = torch.tensor([[decoder.vocabulary.start, *path]]).expand(N, -1)
        steps = decoder(image, tokens)[0].log_softmax(-1)
        targets = torch.tensor([[*path, decoder.vocabulary.end]]).expand(N, -1)
        found = steps.gather(-1, targets.unsqueeze(-1)).sum((1, 2))
        torch.testing.assert_close(found, alone.log().sum(-1))


@torch.no_grad()
def test_scores_are_log_probabilities_that_sum_to_one_and_bar_earlier_labels():
    decoder = build()
    image = decoder.project_image(*inputs())
    tokens = torch.tensor([[decoder.vocabulary.start, 0, 3]]).expand(N, -1)
    scores = decoder(image, tokens)[0]
    torch.testing.assert_close(scores.logsumexp(-1), torch.zeros(N, 3), atol=1e-5, rtol=0)
    barred = [[], [2, 0], [2, 0, 3]]
    for place, labels in enumerate(barred):
        assert set((scores[:, place] == -torch.inf).nonzero()[:, 1].tolist()) == set(labels)


def test_large_logits_stay_finite_forwards_and_backwards():
    decoder = build()
    features, logits = inputs()
    logits = (logits.sign() * 80).requires_grad_()
    decoder.detach = False
    tokens = torch.tensor([[decoder.vocabulary.start, 2, 1]]).expand(N, -1)
    scores = decoder(decoder.project_image(features, logits), tokens)[0].log_softmax(-1)
    loss = -scores[:, 0, 2].sum() - scores[:, 1, 1].sum() - scores[:, 2, C].sum()
    loss.backward()
    assert math.isfinite(float(loss.detach())) and bool(logits.grad.isfinite().all())


# ---- in the head ----------------------------------------------------------------------------


def head(dropout=0.0, **options):
    torch.manual_seed(0)
    built = CNNRNNHead(
        C,
        F,
        embed_dims=D,
        hidden_dims=7,
        recurrent='gru',
        dropout=dropout,
        activation='identity',
        **{'decoder': dict(type='ChainDecoder'), 'marginal': dict(), **options},
    )
    with torch.no_grad():
        built.decoder.classifier.weight.normal_()
    built.set_training_order('frequent_first', ORDER)
    return built


def samples(labels):
    return [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in labels]


@pytest.mark.parametrize('share_prefixes', [True, False])
def test_loss_is_the_negative_log_probability_of_the_label_sets(share_prefixes):
    built, (features, _) = head(share_prefixes=share_prefixes), inputs()
    labels = [[2, 3], [], [0, 3, 1]]
    loss = built.loss((features,), samples(labels))['loss']
    image = built.decoder.project_image(features, built.marginal_branch(features))
    expected = [
        -log_prob_of(built.decoder, image[row : row + 1], path) for row, path in enumerate(labels)
    ]
    assert float(loss.detach()) == pytest.approx(sum(expected) / N, rel=1e-5)


def test_best_path_is_the_most_probable_label_set():
    built, (features, _) = head().eval(), inputs()
    found = built.predict((features,))
    image = built.decoder.project_image(features, built.marginal_branch(features))
    for row, sample in enumerate(found):
        every = {
            tuple(path): log_prob_of(built.decoder, image[row : row + 1], path) for path in SUBSETS
        }
        best = max(every, key=every.get)
        assert tuple(sample.pred_label.tolist()) == best
        assert float(sample.pred_path_log_probs[0]) == pytest.approx(every[best], abs=1e-4)
        inside = [
            sum(math.exp(value) for path, value in every.items() if label in path)
            for label in range(C)
        ]
        for label, probability in enumerate(inside):
            low, high = sample.pred_score_lower[label], sample.pred_score_upper[label]
            assert low - 1e-5 <= probability <= high + 1e-5


def test_sequence_loss_reaches_the_marginal_branch_only_when_asked():
    for detach in (True, False):
        built = head(decoder=dict(type='ChainDecoder', detach=detach))
        built.loss((inputs()[0],), samples([[2], [0], [1]]))['loss'].backward()
        grad = built.marginal_branch.classifier.weight.grad
        assert (grad is None or not bool(grad.any())) == detach


def test_order_travels_with_the_weights():
    built, other = head(), head()
    other.set_training_order('rare_first', ORDER[::-1])
    other.load_state_dict(built.state_dict())
    features = inputs()[0]
    for one in (built, other):
        one.eval()
    for left, right in zip(built.predict((features,)), other.predict((features,)), strict=True):
        assert left.pred_paths == right.pred_paths
        torch.testing.assert_close(left.pred_score, right.pred_score)


def test_wrong_orders_are_refused():
    built = head()
    with pytest.raises(UsageError, match="'random' is a new one"):
        built.set_training_order('random', ORDER)
    with pytest.raises(UsageError, match='once'):
        built.set_training_order('frequent_first', [0, 1, 2, 2])
    with pytest.raises(UsageError, match='OrderLabels'):
        built.loss((inputs()[0],), samples([[3, 2], [], [1]]))
    torch.manual_seed(0)
    fresh = CNNRNNHead(C, F, decoder=dict(type='ChainDecoder'), marginal=dict())
    with pytest.raises(UsageError, match='does not know the label order'):
        fresh.predict((inputs()[0],))


def test_parts_that_read_the_marginal_branch_ask_for_it():
    with pytest.raises(UsageError, match=r'ChainDecoder reads the marginal branch.*marginal=dict'):
        CNNRNNHead(C, F, decoder=dict(type='ChainDecoder'))
    with pytest.raises(UsageError, match='BeamSearchPostprocessor reads the marginal branch'):
        CNNRNNHead(C, F, postprocessor=dict(marginal_share=0.5))


def test_smoothed_targets_are_refused():
    with pytest.raises(UsageError, match='label_smoothing'):
        head(loss=dict(label_smoothing=0.1))


def test_pred_score_takes_its_share_of_the_marginal_branch():
    features = inputs()[0]
    plain, mixed = head().eval(), head(postprocessor=dict(marginal_share=0.25)).eval()
    mixed.load_state_dict(plain.state_dict())
    alone = plain.marginal_branch(features).sigmoid()
    for row, (one, other) in enumerate(
        zip(plain.predict((features,)), mixed.predict((features,)), strict=True)
    ):
        expected = 0.75 * one.pred_score + 0.25 * alone[row]
        torch.testing.assert_close(other.pred_score, expected)
        torch.testing.assert_close(other.pred_score_lower, one.pred_score_lower)


def test_trie_and_prefix_sharing_change_nothing():
    features, labels = inputs()[0], samples([[2, 3], [2], [2, 3, 1]])
    found = []
    for kind in (True, False):
        built = head(share_prefixes=kind, use_trie=kind)
        built.loss((features,), labels)['loss'].backward()
        gradients = {name: one.grad for name, one in built.named_parameters()}
        built.eval()
        found.append((gradients, [one.pred_score for one in built.predict((features,))]))
    (first, scores), (second, others) = found
    torch.testing.assert_close(scores, others)
    for name, gradient in first.items():
        if gradient is not None:
            torch.testing.assert_close(gradient, second[name], msg=name)


def test_dropout_reaches_embeddings_projection_and_features_in_training_only():
    features = inputs()[0]
    built = head(dropout=0.5, feature_dropout=0.5, marginal=dict(hidden_dims=8, dropout=0.5))
    tokens = torch.tensor([[built.vocabulary.start, 2]]).expand(N, -1)
    assert not torch.equal(built((features,), tokens), built((features,), tokens))
    built.eval()
    torch.testing.assert_close(built((features,), tokens), built((features,), tokens))


@torch.no_grad()
def test_strength_scales_what_labels_say_about_each_other_outside_of_training():
    features, labels = inputs()[0], samples([[2, 3], [2], [2, 3, 1]])
    half = head(decoder=dict(type='ChainDecoder', strength=0.5))
    expected = head()
    expected.load_state_dict(half.state_dict())
    same = [float(one.loss((features,), labels)['loss']) for one in (half, expected)]
    assert same[0] == pytest.approx(same[1])
    expected.decoder.classifier.weight.mul_(0.5)
    expected.decoder.classifier.bias.mul_(0.5)
    for one, other in zip(
        half.eval().predict((features,)), expected.eval().predict((features,)), strict=True
    ):
        assert one.pred_paths == other.pred_paths
        torch.testing.assert_close(one.pred_score, other.pred_score)
    with pytest.raises(UsageError, match=r'strength is -1'):
        head(decoder=dict(type='ChainDecoder', strength=-1))


def test_what_the_decoder_was_not_given_is_named():
    features, _ = inputs()
    with pytest.raises(UsageError, match='ChainDecoder reads the marginal branch, and the head'):
        build().project_image(features)
    with pytest.raises(NotImplementedError, match='ChainDecoder has no joint embedding'):
        build().image_vectors(features)
    assert build(read_image=True).image_vectors(features).shape == (N, D)
