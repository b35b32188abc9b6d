# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Recurrent layers of the label decoder, one interface, chosen by name.

Axis letters: N sequences, T steps, D input size, H recurrent size.

Every layer maps ``(inputs (N, T, D), state)`` to ``(outputs (N, T, H), state)``. A state is a tuple
of tensors whose first axis is N, so that a search can reorder it by backpointer.

One step can be taken in two parts, of which the first depends on the input alone and so needs to be
done once for each label: ``drive(inputs (M, D)) -> (M, G)``, then ``advance(drives (M, G), state)
-> (outputs (M, H), state)``. G is the layer's own affair.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...search import State

__all__ = ['RECURRENT_LAYERS', 'GRULayer', 'LSTMLayer', 'NoRecurrence', 'ReLULSTMLayer']


class ReLULSTMLayer(nn.Module):
    """The recurrent layer of CNN-RNN, equation (1), which is not ``torch.nn.LSTM``.

    Candidate and the three gates are rectified, none is squashed, and there is a single state::

        x, i, f, o = relu(U r(t-1) + W w(t) + b)
        r(t) = f * r(t-1) + i * x
        o(t) = r(t) * o

    Nothing bounds the state. The weights start small and the forget gate's bias at ``forget_bias``,
    so that the first updates neither let the state die (every gate at zero passes no gradient) nor
    let it grow along a path.

    Args:
        input_dims: D.
        hidden_dims: H.
        forget_bias: Start value of the forget gate's bias.
        input_bias: Start value of the biases of candidate, input and output gate; above zero so
            that the rectifiers start open.
    """

    def __init__(
        self,
        input_dims: int,
        hidden_dims: int,
        forget_bias: float = 0.5,
        input_bias: float = 0.5,
    ) -> None:
        super().__init__()
        self.hidden_dims = hidden_dims
        self.forget_bias = forget_bias
        self.input_bias = input_bias
        self.input_weights = nn.Linear(input_dims, 4 * hidden_dims)
        self.state_weights = nn.Linear(hidden_dims, 4 * hidden_dims, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Orthogonal state weights at a small scale, uniform input weights, open rectifiers."""
        nn.init.xavier_uniform_(self.input_weights.weight)
        for block in self.state_weights.weight.data.split(self.hidden_dims):
            nn.init.orthogonal_(block, gain=0.1)
        bias = torch.full_like(self.input_weights.bias, self.input_bias)
        bias[2 * self.hidden_dims : 3 * self.hidden_dims] = self.forget_bias
        self.input_weights.bias.data.copy_(bias)

    def initial_state(self, like: Tensor) -> State:
        """Zeros (N, H), with N, dtype and device of ``like`` (N, ...)."""
        return (like.new_zeros(len(like), self.hidden_dims),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (N, T, H) and the new state, of inputs (N, T, D)."""
        outputs = []
        for drive in self.drive(inputs).unbind(1):  # (N, 4H) each
            output, state = self.advance(drive, state)
            outputs.append(output)
        return torch.stack(outputs, 1), state

    def drive(self, inputs: Tensor) -> Tensor:
        """W w(t) + b: (..., D) -> (..., 4H)."""
        return self.input_weights(inputs)

    def advance(self, drives: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (M, H) and the new state, of drives (M, G)."""
        (memory,) = state
        candidate, input_gate, forget_gate, output_gate = (
            (drives + self.state_weights(memory)).relu().chunk(4, -1)
        )
        memory = forget_gate * memory + input_gate * candidate
        return memory * output_gate, (memory,)


class LSTMLayer(nn.Module):
    """``torch.nn.LSTM`` with one layer; the state is (h, c), each (N, H).

    Args:
        input_dims: D.
        hidden_dims: H.
    """

    def __init__(self, input_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.hidden_dims = hidden_dims
        self.cell = nn.LSTM(input_dims, hidden_dims, batch_first=True)

    def initial_state(self, like: Tensor) -> State:
        """Zeros (N, H) twice, with N, dtype and device of ``like`` (N, ...)."""
        zeros = like.new_zeros(len(like), self.hidden_dims)
        return zeros, zeros

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (N, T, H) and the new state, of inputs (N, T, D)."""
        hidden, memory = (part.unsqueeze(0).contiguous() for part in state)
        outputs, (hidden, memory) = self.cell(inputs, (hidden, memory))
        return outputs, (hidden.squeeze(0), memory.squeeze(0))

    def drive(self, inputs: Tensor) -> Tensor:
        """The input's share of the gates, biases included: (..., D) -> (..., 4H)."""
        bias = _weight(self.cell, 'bias_ih') + _weight(self.cell, 'bias_hh')
        return functional.linear(inputs, _weight(self.cell, 'weight_ih'), bias)

    def advance(self, drives: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (M, H) and the new state, of drives (M, G)."""
        hidden, memory = state
        gates = drives + functional.linear(hidden, _weight(self.cell, 'weight_hh'))
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, -1)
        memory = forget_gate.sigmoid() * memory + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * memory.tanh()
        return hidden, (hidden, memory)


class GRULayer(nn.Module):
    """``torch.nn.GRU`` with one layer; the state is (h,), (N, H).

    Args:
        input_dims: D.
        hidden_dims: H.
    """

    def __init__(self, input_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.hidden_dims = hidden_dims
        self.cell = nn.GRU(input_dims, hidden_dims, batch_first=True)

    def initial_state(self, like: Tensor) -> State:
        """Zeros (N, H), with N, dtype and device of ``like`` (N, ...)."""
        return (like.new_zeros(len(like), self.hidden_dims),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (N, T, H) and the new state, of inputs (N, T, D)."""
        outputs, hidden = self.cell(inputs, state[0].unsqueeze(0).contiguous())
        return outputs, (hidden.squeeze(0),)

    def drive(self, inputs: Tensor) -> Tensor:
        """The input's share of the gates: (..., D) -> (..., 3H)."""
        weight, bias = _weight(self.cell, 'weight_ih'), _weight(self.cell, 'bias_ih')
        return functional.linear(inputs, weight, bias)

    def advance(self, drives: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (M, H) and the new state, of drives (M, G)."""
        (hidden,) = state
        weight, bias = _weight(self.cell, 'weight_hh'), _weight(self.cell, 'bias_hh')
        own = functional.linear(hidden, weight, bias)
        reset, update, candidate = drives.chunk(3, -1)
        own_reset, own_update, own_candidate = own.chunk(3, -1)
        candidate = (candidate + (reset + own_reset).sigmoid() * own_candidate).tanh()
        update = (update + own_update).sigmoid()
        hidden = candidate + update * (hidden - candidate)
        return hidden, (hidden,)


class NoRecurrence(nn.Module):
    """The paper's ablation (Table 3): a linear embedding of the previous label, and no state.

    Args:
        input_dims: D.
        hidden_dims: H, here the size of the embedding.
    """

    def __init__(self, input_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(input_dims, hidden_dims)

    def initial_state(self, like: Tensor) -> State:
        """Nothing to carry."""
        return ()

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (N, T, H) and the new state, of inputs (N, T, D)."""
        return self.embedding(inputs), state

    def drive(self, inputs: Tensor) -> Tensor:
        """The output itself: (..., D) -> (..., H)."""
        return self.embedding(inputs)

    def advance(self, drives: Tensor, state: State) -> tuple[Tensor, State]:
        """Nothing to do."""
        return drives, state


#: What all layers here have in common; see the module's docstring.
RecurrentLayer: TypeAlias = ReLULSTMLayer | LSTMLayer | GRULayer | NoRecurrence

#: What the argument ``recurrent`` of heads and decoders can be.
RECURRENT_LAYERS: dict[str, type[RecurrentLayer]] = {
    'relu_lstm': ReLULSTMLayer,
    'lstm': LSTMLayer,
    'gru': GRULayer,
    'none': NoRecurrence,
}


def build_recurrent_layer(name: str, input_dims: int, hidden_dims: int) -> RecurrentLayer:
    """Build the layer called ``name`` in :data:`RECURRENT_LAYERS`."""
    if name not in RECURRENT_LAYERS:
        raise UsageError(
            f"recurrent layer '{name}' is not known: choose one of {', '.join(RECURRENT_LAYERS)}"
        )
    return RECURRENT_LAYERS[name](input_dims, hidden_dims)


def _weight(cell: nn.RNNBase, name: str) -> Tensor:
    """One of the weights of its only layer, which torch names by string alone."""
    return getattr(cell, f'{name}_l0')
