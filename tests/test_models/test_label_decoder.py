# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import LabelDecoder, Vocabulary
from cnnrnn_mm.models.decoders import RECURRENT_LAYERS

N, C, F, D, H = 3, 5, 7, 4, 6
END, START = 5, 6
TOKENS = torch.tensor([[START, 2, 0], [START, 4, 1], [START, 3, END]])


def build(recurrent='lstm', **options):
    options = {'dropout': 0.0, **options}
    return LabelDecoder(
        Vocabulary(C), F, embed_dims=D, hidden_dims=H, recurrent=recurrent, **options
    )


def matvec(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def test_vocabulary():
    vocabulary = Vocabulary(C)
    assert (vocabulary.end, vocabulary.start) == (END, START)
    assert (vocabulary.num_outputs, vocabulary.num_inputs) == (C + 1, C + 2)


@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
@pytest.mark.parametrize('activation', ['relu', 'tanh', 'identity'])
def test_equations_2_to_5_by_hand(recurrent, activation):
    """Only the recurrent layer itself, equation (1), is taken as given."""
    decoder = build(recurrent, activation=activation).double()
    features = torch.randn(N, F, dtype=torch.float64)
    scores, _ = decoder(decoder.project_image(features), TOKENS)
    assert scores.shape == (N, 3, C + 1)
    h = {'relu': torch.relu, 'tanh': torch.tanh, 'identity': lambda x: x}[activation]
    table = decoder.embedding.weight.tolist()
    u_o, u_i = decoder.output_projection.weight.tolist(), decoder.image_projection.weight.tolist()
    bias = decoder.image_projection.bias.tolist()
    for n in range(N):
        words = torch.tensor([[table[token] for token in TOKENS[n]]], dtype=torch.float64)  # (2)
        outputs, _ = decoder.recurrent(words, decoder.recurrent.initial_state(words))  # (3)
        image = matvec(u_i, features[n].tolist())
        for t in range(3):
            label = matvec(u_o, outputs[0, t].tolist())
            joint = [x + y + z for x, y, z in zip(label, image, bias, strict=True)]
            joint = h(torch.tensor(joint, dtype=torch.float64)).tolist()  # (4)
            expected = matvec(table[: C + 1], joint)  # (5)
            torch.testing.assert_close(
                scores[n, t], torch.tensor(expected, dtype=torch.float64), atol=1e-10, rtol=0
            )


def test_one_matrix_for_input_and_output():
    decoder = build()
    tables = [
        name for name, value in decoder.named_parameters() if value.shape[0] in (C + 1, C + 2)
    ]
    assert tables == ['embedding.weight']


def test_gradient_reaches_the_matrix_from_both_sides():
    """Label 2 is only read, label 1 only scored, START only read, END only scored."""
    decoder = build()
    image = decoder.project_image(torch.randn(1, F))
    scores, _ = decoder(image, torch.tensor([[START, 2]]))
    scores[0, -1, 1].backward()
    rows = decoder.embedding.weight.grad.abs().sum(-1) > 0
    assert rows.tolist() == [False, True, True, False, False, False, True]
    decoder.zero_grad()
    scores, _ = decoder(decoder.project_image(torch.randn(1, F)), torch.tensor([[START]]))
    scores[0, 0, END].backward()
    rows = decoder.embedding.weight.grad.abs().sum(-1) > 0
    assert rows.tolist() == [False] * 5 + [True, True]


def test_start_row_is_no_output_and_end_row_no_input():
    decoder = build().requires_grad_(False)
    image = decoder.project_image(torch.randn(N, F))
    before, _ = decoder(image, TOKENS[:2].repeat(2, 1)[:N])
    with torch.no_grad():
        decoder.embedding.weight[END] += 1
    tokens = TOKENS[:2].repeat(2, 1)[:N]
    after, _ = decoder(image, tokens)
    torch.testing.assert_close(after[..., :END], before[..., :END])
    assert float((after - before)[..., END].abs().min()) > 0
    # A sequence that goes on from label 2 with the state given never reads START again.
    state = decoder.initial_state(image)
    one, _ = decoder(image, torch.full((N, 1), 2), state)
    with torch.no_grad():
        decoder.embedding.weight[START] += 1
    other, _ = decoder(image, torch.full((N, 1), 2), state)
    assert torch.equal(one, other)
    changed, _ = decoder(image, tokens)
    assert float((changed - after)[:, 0].abs().max()) > 1e-4


@pytest.mark.parametrize('recurrent', ['relu_lstm', 'lstm', 'gru'])
def test_image_enters_every_step_and_never_the_state(recurrent):
    decoder = build(recurrent)
    tokens = TOKENS[:1].repeat(2, 1)
    scores, state = decoder(decoder.project_image(torch.randn(2, F)), tokens)
    for part in state:
        assert torch.equal(part[0], part[1])
    difference = (scores[0] - scores[1]).abs().amax(-1)
    assert bool((difference > 1e-4).all())  # at each of the three steps


def test_image_is_the_same_at_every_step():
    """Without activation, the image adds the same scores at each step."""
    decoder = build(activation='identity').double()
    tokens = TOKENS[:1].repeat(2, 1)
    scores, _ = decoder(decoder.project_image(torch.randn(2, F, dtype=torch.float64)), tokens)
    added = scores[0] - scores[1]
    torch.testing.assert_close(added[0], added[1])
    torch.testing.assert_close(added[0], added[2])


@pytest.mark.parametrize('use_trie', [False, True])
@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_step_of_a_search_is_one_column_of_forward(recurrent, use_trie):
    decoder = build(recurrent).eval()
    image = decoder.project_image(torch.randn(N, F))
    scores, _ = decoder(image, TOKENS)
    step, state = decoder.begin_search(image, use_trie=use_trie)
    for t in range(3):
        assert all(len(part) == N for part in state)
        log_probs, state = step(TOKENS[:, t], state)
        assert log_probs.shape == (N, C + 1)
        torch.testing.assert_close(log_probs, scores[:, t].log_softmax(-1))


@pytest.mark.parametrize('use_trie', [False, True])
@pytest.mark.parametrize('recurrent', RECURRENT_LAYERS)
def test_hypotheses_of_a_search_can_be_reordered(recurrent, use_trie):
    """The image of a hypothesis goes with it, also where one image has several and one none."""
    decoder = build(recurrent).eval()
    image = decoder.project_image(torch.randn(N, F))
    step, state = decoder.begin_search(image, use_trie=use_trie)
    _, state = step(TOKENS[:, 0], state)
    source, labels = torch.tensor([2, 2, 0, 2]), torch.tensor([0, 3, 1, 0])
    log_probs, _ = step(labels, tuple(part[source] for part in state))
    tokens = torch.stack([torch.full_like(labels, START), labels], 1)
    scores, _ = decoder(image[source], tokens)
    torch.testing.assert_close(log_probs, scores[:, 1].log_softmax(-1))


def test_causal():
    """A later input must not change an earlier score."""
    decoder = build()
    image = decoder.project_image(torch.randn(1, F))
    one, _ = decoder(image, torch.tensor([[START, 2, 0]]))
    other, _ = decoder(image, torch.tensor([[START, 2, 4]]))
    assert torch.equal(one[:, :2], other[:, :2])
    assert not torch.equal(one[:, 2], other[:, 2])


def test_dropout_on_both_projections_while_training_only():
    decoder = build(dropout=0.5, activation='identity')
    features = torch.randn(1, F)
    image = decoder.project_image(features)
    assert int((image == 0).sum()) > 0  # U_I I
    zero = torch.zeros(1, D)
    with torch.no_grad():
        decoder.embedding.weight.copy_(torch.eye(C + 2, D))
    scores, _ = decoder(zero, torch.tensor([[START, 0, 1, 2, 3]]))
    assert int((scores[..., :D] == 0).sum()) > 0  # U_o o(t)
    decoder.eval()
    assert int((decoder.project_image(features) == 0).sum()) == 0
    scores, _ = decoder(zero, torch.tensor([[START, 0, 1, 2, 3]]))
    assert int((scores[..., :D] == 0).sum()) == 0


def test_activation_changes_the_scores():
    features = torch.randn(N, F)
    scores = []
    for activation in ('relu', 'tanh', 'identity'):
        torch.manual_seed(3)
        decoder = build(activation=activation)
        scores.append(decoder(decoder.project_image(features), TOKENS)[0])
    assert not torch.allclose(scores[0], scores[1])
    assert not torch.allclose(scores[1], scores[2])


def test_scores_start_near_uniform():
    """Tied embeddings of unit variance would start at a spread of sqrt(D) = 16."""
    decoder = LabelDecoder(Vocabulary(200), 32, embed_dims=256, hidden_dims=64, dropout=0.0)
    assert float(decoder.embedding.weight.detach().norm(dim=-1).mean()) == pytest.approx(1, abs=0.1)
    image = decoder.project_image(torch.randn(4, 32))
    scores, _ = decoder(image, torch.full((4, 1), 201))
    assert float(scores.detach().std()) < 3


def test_unknown_activation_is_named():
    with pytest.raises(UsageError, match="'gelu'.*relu, tanh, identity"):
        build(activation='gelu')


def test_unknown_recurrent_layer_is_named():
    with pytest.raises(UsageError, match="'rnn'"):
        build('rnn')
