# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Axis letters: N images, B regions, T steps, C labels, V = C + 1, F region feature size."""

import math

import pytest
import torch
from region_cases import alone, make_regions, pick

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import Vocabulary
from cnnrnn_mm.models.decoders import LabelDecoder, RegionDecoder, SkipDecoder
from cnnrnn_mm.models.decoders.recurrent import RECURRENT_LAYERS
from cnnrnn_mm.models.region_fusion import FUSIONS

C, F = 4, 6
VOCABULARY = Vocabulary(C)
COUNTS = [4, 1, 3]
TOKENS = torch.tensor(
    [[VOCABULARY.start, 2, 0], [VOCABULARY.start, 1, 3], [VOCABULARY.start, 0, 2]]
)
MARGINALS = torch.randn(len(COUNTS), max(COUNTS), C, generator=torch.Generator().manual_seed(5))

every_recurrent_layer = pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
every_fusion = pytest.mark.parametrize('fusion', FUSIONS)


def build(kind='LabelDecoder', seed=0, **options):
    """A decoder whose scores lie apart."""
    torch.manual_seed(seed)
    options = dict(embed_dims=5, hidden_dims=7, dropout=0.0) | options
    made = RegionDecoder(VOCABULARY, F, label_decoder=dict(type=kind), **options)
    for name, value in made.named_parameters():
        if value.dim() > 1 and 'recurrent' not in name:
            torch.nn.init.normal_(value, std=0.8)
    return made.eval()


def project(decoder, regions, marginals=MARGINALS):
    marginals = marginals[:, : regions.features.shape[1]] if decoder.takes_marginals else None
    return decoder.project_regions(regions.features, regions, marginals)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@every_fusion
@every_recurrent_layer
@pytest.mark.parametrize('kind', [LabelDecoder, SkipDecoder])
def test_the_whole_image_alone_is_the_label_decoder(kind, recurrent, fusion):
    """Scores, states, shared prefixes and search steps."""
    ours = build(kind.__name__, recurrent=recurrent, fusion=fusion, start_from_region=False)
    theirs = kind(VOCABULARY, F, embed_dims=5, hidden_dims=7, dropout=0.0, recurrent=recurrent)
    theirs.load_state_dict(ours.inner.state_dict())
    regions = pick(make_regions(COUNTS), places=slice(1))
    image = project(ours, regions)
    marginals = MARGINALS[:, 0] if ours.takes_marginals else None
    plain = theirs.eval().project_image(regions.features[:, 0], marginals)
    scores, state = ours(image, TOKENS)
    expected, expected_state = theirs(plain, TOKENS)
    close(scores, expected)
    assert len(state) == len(expected_state)
    for one, other in zip(state, expected_state, strict=True):
        close(one[:, 0], other)
    valid = torch.tensor([[True] * 3, [True, False, False], [True, True, False]])
    close(ours.score_sequences(image, TOKENS, valid), theirs.score_sequences(plain, TOKENS, valid))
    (step, state), (other, other_state) = ours.begin_search(image), theirs.begin_search(plain)
    for tokens in TOKENS.T:
        (scores, state), (expected, other_state) = step(tokens, state), other(tokens, other_state)
        close(scores, expected)


@torch.no_grad()
def one_by_one(decoder, regions, tokens):
    """The fused scores (N, T, V), one region of one image after another, each with its state."""
    inner, found = decoder.inner, []
    marginals = MARGINALS if decoder.takes_marginals else None
    for image, path in enumerate(tokens):
        voices = []
        for region in range(int(regions.valid[image].sum())):
            feature = regions.features[image, region]
            state = inner.recurrent.initial_state(feature.unsqueeze(0))
            if decoder.start is not None:
                first = decoder.start.weight @ feature + decoder.start.bias
                state = inner.recurrent(first.view(1, 1, -1), state)[1]
            seen = inner.image_projection.weight @ feature + inner.image_projection.bias
            rows = []
            for token in path:
                word = inner.embedding.weight[token].view(1, 1, -1)
                output, state = inner.recurrent(word, state)
                joint = torch.tanh(inner.output_projection.weight @ output[0, 0] + seen)
                row = inner.embedding.weight[: C + 1] @ joint
                if marginals is not None:
                    row[:C] += inner.skip_scale * marginals[image, region]
                rows.append(row)
            voices.append(torch.stack(rows))
        fused = torch.empty(len(path), C + 1)
        for t in range(len(path)):
            fused[t, C] = voices[0][t, C]
            for label in range(C):
                said = [
                    float(v[t, label] + regions.log_gates[image, b]) for b, v in enumerate(voices)
                ]
                fused[t, label] = {
                    '_max': max(said),
                    '_logsumexp': math.log(sum(map(math.exp, said)) / len(said)),
                    '_whole_and_max': (said[0] + max(said)) / 2,
                }[decoder.fuse.__name__]
        found.append(fused)
    return torch.stack(found)


@every_fusion
@every_recurrent_layer
@pytest.mark.parametrize('kind', ['LabelDecoder', 'SkipDecoder'])
def test_against_one_region_at_a_time(kind, recurrent, fusion):
    for start in (True, False):
        decoder = build(kind, recurrent=recurrent, fusion=fusion, start_from_region=start)
        if decoder.takes_marginals:
            decoder.inner.skip_scale.data.fill_(0.7)
        regions = make_regions(COUNTS)
        with torch.no_grad():
            ours = decoder(project(decoder, regions), TOKENS)[0]
        close(ours, one_by_one(decoder, regions, TOKENS))


@torch.no_grad()
@every_fusion
def test_padding_changes_nothing_whatever_it_holds(fusion):
    decoder, valid = build(fusion=fusion), torch.ones_like(TOKENS, dtype=torch.bool)
    wanted = project(decoder, make_regions(COUNTS))
    for padding in (1e3, -1e3):
        image = project(decoder, make_regions(COUNTS, padding=padding))
        close(decoder(image, TOKENS)[0], decoder(wanted, TOKENS)[0])
        close(
            decoder.score_sequences(image, TOKENS, valid),
            decoder.score_sequences(wanted, TOKENS, valid),
        )
        labels = torch.tensor([[0, 1, 2]]).expand(3, -1)
        chosen = decoder.responsible_regions(image, TOKENS, labels)
        assert torch.equal(chosen, decoder.responsible_regions(wanted, TOKENS, labels))
        assert (chosen < torch.tensor(COUNTS).unsqueeze(1)).all()


@torch.no_grad()
@every_fusion
def test_a_batch_is_its_images(fusion):
    decoder, regions = build(fusion=fusion), make_regions(COUNTS)
    scores = decoder(project(decoder, regions), TOKENS)[0]
    for image in range(len(COUNTS)):
        one = project(decoder, alone(regions, image))
        assert one.shape[1] == COUNTS[image]
        close(decoder(one, TOKENS[image : image + 1])[0][0], scores[image])


@torch.no_grad()
@every_fusion
def test_the_order_of_the_regions_behind_the_whole_image_does_not_count(fusion):
    decoder, regions = build(fusion=fusion), make_regions([5, 5])
    order = torch.tensor([0, 3, 1, 4, 2])
    first, second = project(decoder, regions), project(decoder, pick(regions, places=order))
    tokens, labels = TOKENS[:2], torch.tensor([[0, 1, 2], [3, 2, 0]])
    close(decoder(first, tokens)[0], decoder(second, tokens)[0])
    chosen = decoder.responsible_regions(first, tokens, labels)
    assert torch.equal(order[decoder.responsible_regions(second, tokens, labels)], chosen)
    # But not that of the whole image, which says where the path ends.
    swapped = project(decoder, pick(regions, places=[1, 0, 2, 3, 4]))
    other = decoder(swapped, tokens)[0]
    if fusion != 'whole_and_max':
        close(other[..., :C], decoder(first, tokens)[0][..., :C])
    assert (other[..., C] - decoder(first, tokens)[0][..., C]).abs().min() > 1e-3


@torch.no_grad()
def test_the_end_is_the_whole_image_s_alone():
    decoder, regions = build(), make_regions([4])
    (alone_scores, _) = decoder(project(decoder, pick(regions, places=slice(1))), TOKENS[:1])
    scores, _ = decoder(project(decoder, regions), TOKENS[:1])
    close(scores[..., C], alone_scores[..., C])
    assert (scores[..., :C] >= alone_scores[..., :C] - 1e-6).all()
    assert (scores[..., :C] > alone_scores[..., :C] + 1e-3).any()


@torch.no_grad()
def test_gates_lower_the_voice_of_a_region():
    decoder, regions = build(), make_regions([2], gated=False)
    voices, _ = decoder.region_scores(project(decoder, regions), TOKENS[:1])  # (1, 2, 3, V)
    for gate in (0.0, -0.3, -50.0):
        gated = regions._replace(log_gates=torch.tensor([[0.0, gate]]))
        scores, _ = decoder(project(decoder, gated), TOKENS[:1])
        expected = torch.maximum(voices[:, 0], voices[:, 1] + gate)
        close(scores[..., :C], expected[..., :C])
    close(scores[..., :C], voices[:, 0, :, :C])  # not heard at all


@torch.no_grad()
def test_sequences_are_the_rows_of_the_padded_call():
    decoder = build('SkipDecoder')
    image = project(decoder, make_regions(COUNTS))
    valid = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    rows = decoder.score_sequences(image, TOKENS, valid)
    assert rows.shape == (6, C + 1)
    close(rows, decoder(image, TOKENS)[0][valid])


@torch.no_grad()
@every_recurrent_layer
def test_a_search_step_by_step_is_the_whole_path(recurrent):
    """Hypotheses that change places take image and states of all their regions with them."""
    decoder = build(recurrent=recurrent)
    image = project(decoder, make_regions(COUNTS))
    step, state = decoder.begin_search(image)
    whole = decoder(image, TOKENS)[0].log_softmax(-1)
    order = torch.tensor([0, 1, 2])
    for t, shuffle in enumerate(([0, 1, 2], [2, 0, 1], [1, 1, 0, 2])):
        order, state = order[shuffle], tuple(part[shuffle] for part in state)
        scores, state = step(TOKENS[order, t], state)
        close(scores, whole[order, t])


@torch.no_grad()
def test_a_state_goes_on():
    decoder = build()
    image = project(decoder, make_regions(COUNTS))
    first, state = decoder(image, TOKENS[:, :2])
    second, _ = decoder(image, TOKENS[:, 2:], state)
    close(torch.cat([first, second], 1), decoder(image, TOKENS)[0])


@torch.no_grad()
def test_the_recurrent_states_start_from_the_regions():
    regions = make_regions(COUNTS, gated=False)
    started, zero = build(), build(start_from_region=False)
    zero.load_state_dict(started.state_dict(), strict=False)
    difference = (
        started(project(started, regions), TOKENS)[0] - zero(project(zero, regions), TOKENS)[0]
    )
    assert difference.abs().amax((1, 2)).min() > 1e-3
    states = started.initial_state(project(started, regions))
    for part in states:
        assert part.shape == (3, 4, 7)
        assert torch.pdist(part[0]).min() > 1e-4  # a state of its own for each region


@torch.no_grad()
def test_the_responsible_region_has_the_loudest_voice():
    decoder, regions = build(seed=3), make_regions([5, 3])
    labels = torch.tensor([[2, 0, 1], [1, 3, 0]])
    image = project(decoder, regions)
    chosen = decoder.responsible_regions(image, TOKENS[:2], labels)
    scores = decoder(image, TOKENS[:2])[0]
    for n in range(2):
        for t in range(3):
            voices = [
                decoder(project(decoder, pick(regions, [n], [b])), TOKENS[n : n + 1])[0][0, t]
                for b in range(int(regions.valid[n].sum()))
            ]
            said = [float(one[labels[n, t]]) for one in voices]  # alone, with its gate
            assert said.index(max(said)) == chosen[n, t]
            assert max(said) == pytest.approx(float(scores[n, t, labels[n, t]]), abs=1e-5)
    assert len(chosen.unique()) > 1


def test_gradients_reach_features_and_gates_of_valid_regions_alone():
    decoder, regions = build(fusion='logsumexp'), make_regions(COUNTS, padding=3.0)
    regions.features.requires_grad_(), regions.log_gates.requires_grad_()
    valid = torch.ones_like(TOKENS, dtype=torch.bool)
    scores = decoder.score_sequences(project(decoder, regions), TOKENS, valid)
    scores.log_softmax(-1)[:, 0].sum().backward()
    for grad in (regions.features.grad.abs().sum(-1), regions.log_gates.grad.abs()):
        assert grad.isfinite().all() and not grad[~regions.valid].any()
        assert grad[regions.valid].all()


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(kind='ChainDecoder'),
            'ChainDecoder gives no scores that.*: let label_decoder be LabelDecoder or Skip',
        ),
        (dict(kind='RegionDecoder'), 'RegionDecoder .* label_decoder be LabelDecoder or Skip'),
        (dict(fusion='sum'), "fusion 'sum' is not known"),
    ],
)
def test_refused(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        build(**options)
    assert '\n' not in str(caught.value)
