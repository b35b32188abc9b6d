# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.decoders import RECURRENT_LAYERS, ReLULSTMLayer
from cnnrnn_mm.models.decoders.recurrent import build_recurrent_layer

N, T, D, H = 3, 5, 4, 6
STATE_SIZES = {'relu_lstm': 1, 'lstm': 2, 'gru': 1, 'none': 0}


def build(name):
    return build_recurrent_layer(name, D, H)


def relu(value):
    return max(value, 0.0)


def literal_relu_lstm(layer, inputs, memory):
    """Equation (1) with one Python number at a time; rows of the weights: x, i, f, o."""
    recurrent = layer.state_weights.weight.tolist()
    drive, bias = layer.input_weights.weight.tolist(), layer.input_weights.bias.tolist()

    def delta(part, unit, word, before):
        row = part * H + unit
        total = bias[row]
        for k in range(H):
            total += recurrent[row][k] * before[k]
        for k in range(D):
            total += drive[row][k] * word[k]
        return relu(total)

    outputs = []
    for word in inputs:
        before, memory, output = memory, [], []
        for unit in range(H):
            x, i, f, o = (delta(part, unit, word, before) for part in range(4))
            memory.append(f * before[unit] + i * x)
            output.append(memory[-1] * o)
        outputs.append(output)
    return outputs, memory


def test_relu_lstm_is_equation_1():
    layer = ReLULSTMLayer(D, H).double()
    for weights in layer.parameters():  # wide enough that rectifiers close and gates differ
        torch.nn.init.normal_(weights, std=0.6)
    inputs = torch.randn(N, T, D, dtype=torch.float64)
    start = torch.rand(N, H, dtype=torch.float64)
    outputs, (memory,) = layer(inputs, (start,))
    assert outputs.shape == (N, T, H) and memory.shape == (N, H)
    for n in range(N):
        expected, last = literal_relu_lstm(layer, inputs[n].tolist(), start[n].tolist())
        torch.testing.assert_close(outputs[n], torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(memory[n], torch.tensor(last, dtype=torch.float64))
    assert 0.05 < float((outputs == 0).double().mean()) < 0.95  # both sides of the rectifier


def test_relu_lstm_is_not_squashed():
    """No tanh and no sigmoid: state and output grow past one."""
    layer = ReLULSTMLayer(D, H)
    outputs, (memory,) = layer(10 * torch.ones(1, 3, D), (10 * torch.ones(1, H),))
    assert float(outputs.max()) > 10 and float(memory.max()) > 10


def test_relu_lstm_starts_alive():
    """At the start neither does the state die nor grow over a long path, and gradients pass."""
    layer = ReLULSTMLayer(64, 32)
    inputs = (64**-0.5 * torch.randn(8, 40, 64)).requires_grad_()
    outputs, _ = layer(inputs, layer.initial_state(inputs))
    assert bool((outputs.abs().mean((0, 2)) > 1e-3).all())
    assert float(outputs[:, -1].abs().max()) < 10 * float(outputs[:, 5].abs().max())
    outputs[:, -1].sum().backward()
    assert float(inputs.grad[:, -1].abs().sum()) > 0
    assert all(float(weights.grad.abs().sum()) > 0 for weights in layer.parameters())
    bias = layer.input_weights.bias.detach().view(4, 32)
    assert torch.equal(bias, torch.full((4, 32), 0.5))


def test_relu_lstm_biases():
    """The forget gate is the third block of equation (1), and has a start value of its own."""
    layer = ReLULSTMLayer(D, H, forget_bias=0.9, input_bias=0.2)
    assert layer.input_weights.bias.view(4, H).mean(1).tolist() == pytest.approx(
        [0.2, 0.2, 0.9, 0.2]
    )
    weights = torch.zeros(4 * H, D)
    layer.input_weights.weight.data.copy_(weights)
    layer.state_weights.weight.data.zero_()
    _, (memory,) = layer(torch.zeros(1, 1, D), (torch.ones(1, H),))
    torch.testing.assert_close(memory, torch.full((1, H), 0.9 * 1 + 0.2 * 0.2))


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_one_step_at_a_time_equals_the_whole_sequence(name):
    layer = build(name)
    inputs = torch.randn(N, T, D)
    whole, last = layer(inputs, layer.initial_state(inputs))
    assert whole.shape == (N, T, H)
    state = layer.initial_state(inputs)
    for t in range(T):
        output, state = layer(inputs[:, t : t + 1], state)
        torch.testing.assert_close(output, whole[:, t : t + 1])
    assert len(state) == len(last)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)


def gradients(layer, inputs, start, outputs, state):
    """Of a sum that weighs every entry of all outputs and of the last state differently."""
    generator = torch.Generator().manual_seed(1)
    total = 0.0
    for part in (outputs, *state):
        total = total + (part * torch.rand(part.shape, generator=generator).double()).sum()
    return torch.autograd.grad(total, [inputs, *start, *layer.parameters()], allow_unused=True)


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_drive_and_advance_step_by_step_equal_forward(name):
    """Values, all states on the way, and the gradients of inputs, first state and weights."""
    layer = build(name).double()
    for weights in layer.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    inputs = torch.randn(N, T, D, dtype=torch.float64, requires_grad=True)
    start = tuple(
        torch.rand(N, H, dtype=torch.float64, requires_grad=True) for _ in range(STATE_SIZES[name])
    )
    whole, last = layer(inputs, start)
    state, outputs = start, []
    for t in range(T):
        output, state = layer.advance(layer.drive(inputs[:, t]), state)
        assert output.shape == (N, H)
        outputs.append(output)
        _, before = layer(inputs[:, : t + 1], start)
        assert isinstance(state, tuple) and len(state) == len(before)
        for one, other in zip(state, before, strict=True):
            torch.testing.assert_close(one, other)
    outputs = torch.stack(outputs, 1)
    torch.testing.assert_close(outputs, whole)
    pairs = zip(
        gradients(layer, inputs, start, outputs, state),
        gradients(layer, inputs, start, whole, last),
        strict=True,
    )
    for one, other in pairs:
        assert one is not None and float(other.abs().sum()) > 0
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_drives_of_many_inputs_at_once(name):
    """One row an input, whatever the axes before the last; the state has no part in it."""
    layer = build(name)
    inputs = torch.randn(N, T, D)
    drives = layer.drive(inputs)
    assert drives.shape[:2] == (N, T)
    torch.testing.assert_close(drives[1, 2], layer.drive(inputs[1, 2:3])[0])
    source = torch.tensor([4, 4, 0])
    state = layer.initial_state(inputs)
    one, _ = layer.advance(drives[1][source], state)
    other, _ = layer(inputs[1][source].unsqueeze(1), state)
    torch.testing.assert_close(one, other.squeeze(1))


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_state_is_a_tuple_with_the_batch_first(name):
    layer = build(name)
    inputs = torch.randn(N, T, D)
    start = layer.initial_state(inputs)
    _, after = layer(inputs, start)
    assert isinstance(start, tuple) and isinstance(after, tuple)
    assert len(start) == len(after) == STATE_SIZES[name]
    assert all(part.shape == (N, H) for part in (*start, *after))
    assert all(bool((part == 0).all()) for part in start)


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_rows_can_be_reordered_between_steps(name):
    """What a search does by backpointer: gather the state, also with repeats, and go on."""
    layer = build(name)
    first, second = torch.randn(N, 2, D), torch.randn(4, 1, D)
    source = torch.tensor([2, 0, 0, 1])
    _, state = layer(first, layer.initial_state(first))
    output, _ = layer(second, tuple(part[source] for part in state))
    for row, parent in enumerate(source.tolist()):
        inputs = torch.cat([first[parent], second[row]]).unsqueeze(0)
        whole, _ = layer(inputs, layer.initial_state(inputs))
        torch.testing.assert_close(output[row, 0], whole[0, -1])


@pytest.mark.parametrize('name', ['relu_lstm', 'lstm', 'gru'])
def test_output_depends_on_the_past(name):
    layer = build(name)
    inputs = torch.randn(1, 3, D)
    changed = inputs.clone()
    changed[:, 0] += 1
    one, _ = layer(inputs, layer.initial_state(inputs))
    other, _ = layer(changed, layer.initial_state(changed))
    assert float((one - other)[:, -1].abs().max()) > 1e-6


def test_none_is_a_linear_embedding_of_the_last_label_alone():
    layer = build('none')
    inputs = torch.randn(1, 3, D)
    changed = inputs.clone()
    changed[:, :2] += 1
    one, _ = layer(inputs, ())
    other, _ = layer(changed, ())
    torch.testing.assert_close(one[:, -1], other[:, -1])
    scaled, zero = layer(3 * inputs, ())[0], layer(0 * inputs, ())[0]
    torch.testing.assert_close(scaled - zero, 3 * (one - zero))  # no nonlinearity
    assert float((one - zero).abs().max()) > 1e-3


@pytest.mark.parametrize('name', ['lstm', 'gru'])
def test_torch_layers_are_torch_s(name):
    layer = build(name)
    inputs = torch.randn(N, T, D)
    outputs, _ = layer(inputs, layer.initial_state(inputs))
    cell = {'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}[name](D, H, batch_first=True)
    cell.load_state_dict(layer.cell.state_dict())
    torch.testing.assert_close(outputs, cell(inputs)[0])


@pytest.mark.parametrize('name', RECURRENT_LAYERS)
def test_dtype_and_rows_of_the_initial_state(name):
    for part in build(name).initial_state(torch.zeros(7, 2, dtype=torch.float64)):
        assert part.shape == (7, H) and part.dtype == torch.float64


def test_unknown_layer_is_named():
    with pytest.raises(UsageError, match="'rnn'.*relu_lstm, lstm, gru, none"):
        build('rnn')
