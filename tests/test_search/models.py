# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Toy models for the search tests; no network."""

import math

import torch


class RecurrentModels:
    """N models in one batch: log-probabilities depend on the whole path, and on the image.

    Each image has weights of its own, and they travel in the state, so a search that loses track
    of a state, or of an image, gives wrong probabilities. Labels may come again.

    Args:
        sharpness: Scale of the scores; a tensor (N,) for one each.
        end_bias: Added to END's score; a tensor (N,) for one each. Far below 0, paths are long and
            the search for the best one is hard.
    """

    def __init__(self, num_models, num_labels, seed, sharpness=2.0, end_bias=0.0):
        generator = torch.Generator().manual_seed(seed)
        size = 4

        def draw(*shape):
            return torch.randn(num_models, *shape, generator=generator, dtype=torch.float64)

        self.num_models, self.num_labels, self.size = num_models, num_labels, size
        self.start = num_labels + 1
        self.rows_fed = []  # of each step
        bias = torch.zeros(num_models, num_labels + 1, dtype=torch.float64)
        bias[:, -1] = end_bias
        sharpness = torch.as_tensor(sharpness, dtype=torch.float64).view(-1, 1, 1)
        self.weights = (
            draw(num_labels + 2, size),
            draw(size, size),
            sharpness * draw(num_labels + 1, size),
            bias,
        )

    def state(self, images=None):
        images = list(range(self.num_models)) if images is None else list(images)
        memory = torch.zeros(len(images), self.size, dtype=torch.float64)
        return (memory, *(weight[images] for weight in self.weights))

    def starts(self, count=None):
        return torch.full((self.num_models if count is None else count,), self.start)

    def step(self, tokens, state):
        self.rows_fed.append(len(tokens))
        memory, embedding, recurrent, output, bias = state
        one = embedding[torch.arange(len(tokens)), tokens]
        memory = torch.tanh(one + torch.einsum('mij,mj->mi', recurrent, memory))
        logits = torch.einsum('mvi,mi->mv', output, memory) + bias
        return logits.log_softmax(-1), (memory, embedding, recurrent, output, bias)


class NeverRepeats(RecurrentModels):
    """The same, but labels that the path holds get probability zero and the rest sums to one."""

    def state(self, images=None):
        state = super().state(images)
        return (torch.zeros(len(state[0]), self.num_labels + 2, dtype=torch.bool), *state)

    def step(self, tokens, state):
        held, *rest = state
        held = held.scatter(1, tokens.unsqueeze(1), True)
        log_probs, rest = super().step(tokens, tuple(rest))
        log_probs = log_probs.masked_fill(held[:, :-1], -math.inf).log_softmax(-1)
        return log_probs, (held, *rest)


class ExactlyTwo(NeverRepeats):
    """The same, and END comes after two labels, for sure, and never before."""

    def step(self, tokens, state):
        log_probs, state = super().step(tokens, state)
        full = state[0].sum(1) == 3  # START and two labels
        log_probs[:, -1] = -math.inf
        log_probs = log_probs.log_softmax(-1)
        log_probs[full] = -math.inf
        log_probs[full, -1] = 0.0
        return log_probs, state


class EndsAfterThree(RecurrentModels):
    """Labels may come again, but END comes after three labels at the latest."""

    def state(self, images=None):
        state = super().state(images)
        return (torch.zeros(len(state[0]), dtype=torch.long), *state)

    def step(self, tokens, state):
        fed, *rest = state
        log_probs, rest = super().step(tokens, tuple(rest))
        log_probs[fed == 3] = -math.inf
        log_probs[fed == 3, -1] = 0.0
        return log_probs, (fed + 1, *rest)


class Tables:
    """N models in which what follows depends on the last token alone.

    Each table has one row a token (labels, END, START) of V probabilities.
    """

    def __init__(self, *tables):
        self.log_probs = torch.tensor(tables).log()  # (N, V + 1, V)
        self.num_models, self.num_labels = len(tables), self.log_probs.shape[-1] - 1
        self.calls = []

    def state(self, images=None):
        return (torch.arange(self.num_models) if images is None else torch.tensor(list(images)),)

    def starts(self, count=None):
        return torch.full((self.num_models if count is None else count,), self.num_labels + 1)

    def step(self, tokens, state):
        self.calls.append(tokens.tolist())
        return self.log_probs[state[0], tokens], state
