# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The joint image-label model of CNN-RNN, equations (1) to (5).

Axis letters: N sequences, T steps, C labels, V = C + 1 (labels and END), D embedding size,
H recurrent size, F image feature size.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...search import PrefixTrie, State, StepFunction
from ..vocabulary import Vocabulary
from .prefix_sharing import distinct_prefixes
from .recurrent import build_recurrent_layer

__all__ = ['LabelDecoder']

ACTIVATIONS = {'relu': torch.relu, 'tanh': torch.tanh, 'identity': torch.positive}


class LabelDecoder(BaseModule):
    """Scores of the next label, given the labels so far and the image.

    ==================================  ==================  =======================================
    part                                equation            here
    ==================================  ==================  =======================================
    w_k = U_l e_k                       (2)                 ``embedding`` (one row a token)
    o(t), r(t) = RNN(r(t-1), w_k(t))    (1), (3)            ``recurrent``
    x_t = h(U_o o(t) + U_I I)           (4)                 ``output_projection``,
                                                            ``image_projection``, ``activation``
    s(t) = U_l^T x_t                    (5)                 the first V rows of ``embedding``
    ==================================  ==================  =======================================

    The image enters at every step, and nowhere else: the recurrent state depends on labels alone.
    The input and the output embedding are one matrix. Its END row is only read at the output, its
    START row only at the input.

    The paper does not name h and does not say whether the scores have a bias; here h is a choice
    and there is none beside U_l.

    Args:
        vocabulary: Token ids; gives C.
        in_channels: F.
        embed_dims: D.
        hidden_dims: H.
        recurrent: ``'relu_lstm'`` (the paper's cell), ``'lstm'``, ``'gru'`` or ``'none'``.
        dropout: Probability for both projections, in [0, 1).
        activation: h in equation (4): ``'relu'``, ``'tanh'`` or ``'identity'``.
        trie_bytes: Most memory for the paths that searches have visited, see :meth:`begin_search`.
        init_cfg: The host's initialisation config.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        in_channels: int,
        embed_dims: int = 64,
        hidden_dims: int = 512,
        recurrent: str = 'lstm',
        dropout: float = 0.5,
        activation: str = 'tanh',
        trie_bytes: int = 256 * 2**20,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"activation '{activation}' is not known: choose one of {', '.join(ACTIVATIONS)}"
            )
        self.vocabulary = vocabulary
        self.activation = ACTIVATIONS[activation]
        self.embedding = nn.Embedding(vocabulary.num_inputs, embed_dims)
        self.recurrent = build_recurrent_layer(recurrent, embed_dims, hidden_dims)
        self.output_projection = nn.Linear(hidden_dims, embed_dims, bias=False)
        self.image_projection = nn.Linear(in_channels, embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.trie_bytes = trie_bytes
        self._trie: PrefixTrie | None = None
        # Unit-variance rows would start the tied scores at a spread of sqrt(D).
        nn.init.normal_(self.embedding.weight, std=embed_dims**-0.5)

    def project_image(self, features: Tensor) -> Tensor:
        """U_I I: (N, F) -> (N, D)."""
        return self.dropout(self.image_projection(features))

    def initial_state(self, image: Tensor) -> State:
        """The recurrent state before START, for projected images (N, D)."""
        return self.recurrent.initial_state(image)

    def forward(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Score what follows each token.

        Args:
            image: (N, D) from :meth:`project_image`.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            state: The recurrent state before ``tokens``; None for the start of the sequence.

        Returns:
            Scores (N, T, V), not normalised, and the state after the last token.
        """
        if state is None:
            state = self.initial_state(image)
        outputs, state = self.recurrent(self.embedding(tokens), state)  # (N, T, H)
        projected = self.dropout(self.output_projection(outputs))  # (N, T, D)
        joint = self.activation(projected + image.unsqueeze(1))  # (N, T, D), equation (4)
        scores = joint @ self.embedding.weight[: self.vocabulary.num_outputs].T  # (N, T, V)
        return scores, state

    def score_sequences(self, image: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
        """Score what follows each token that counts, with one recurrent step a distinct prefix.

        The recurrent state does not depend on the image, so images whose labels begin alike share
        it; the share of U_I I, dropout and scores are each image's own.

        Args:
            image: (N, D) from :meth:`project_image`.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            valid: (N, T) bool, False for padding, which may only stand behind.

        Returns:
            (M, V), the rows of :meth:`forward` where ``valid``.
        """
        levels, nodes = distinct_prefixes(tokens, valid, self.vocabulary.num_inputs)
        state = self.initial_state(image[:1])
        used, which = torch.cat([level.tokens for level in levels]).unique(return_inverse=True)
        drives = functional.embedding(which, self.recurrent.drive(self.embedding(used)))
        outputs = []
        for level, drive in zip(levels, drives.split([len(x.tokens) for x in levels]), strict=True):
            output, state = self.recurrent.advance(
                drive, tuple(functional.embedding(level.parents, part) for part in state)
            )
            outputs.append(output)
        projected = self.output_projection(torch.cat(outputs))  # U_o o, one row a prefix
        rows = valid.nonzero()[:, 0]
        joint = self.dropout(functional.embedding(nodes, projected))  # (M, D)
        joint = self.activation(joint + functional.embedding(rows, image))
        return joint @ self.embedding.weight[: self.vocabulary.num_outputs].T

    def begin_search(
        self, image: Tensor, use_trie: bool = True, keep_all: bool = False
    ) -> tuple[StepFunction, State]:
        """What a search needs: the step and the state before START.

        The step's state is the number of each hypothesis's image and, with the trie, of its node,
        else the recurrent state.

        Args:
            image: (N, D) from :meth:`project_image`.
            use_trie: Look the share of the label path up in :attr:`trie`, which outlives the
                search, instead of running the recurrent layer for each hypothesis. Without effect
                where decoder or dropout are in training mode: every hypothesis is different then.
            keep_all: The search comes back to prefixes of earlier steps (best-first search does).
        """
        rows = torch.arange(len(image), device=image.device)
        outputs = self.embedding.weight[: self.vocabulary.num_outputs].T
        if use_trie and not (self.training or self.dropout.training):
            trie = self._fresh_trie(image)
            trie.begin(keep_all)

            def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
                rows, nodes = state
                nodes = trie.advance(nodes, tokens)
                joint = self.activation(trie.vectors(nodes).add_(image.index_select(0, rows)))
                scores = joint @ outputs
                return scores.float().log_softmax(-1), (rows, nodes)

            return step, (rows, torch.zeros_like(rows))

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            rows, *recurrent = state
            vectors, recurrent = self._expand(tokens, tuple(recurrent))
            joint = self.activation(self.dropout(vectors) + image.index_select(0, rows))
            scores = joint @ outputs
            return scores.float().log_softmax(-1), (rows, *recurrent)

        return step, (rows, *self.initial_state(image))

    def _expand(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """U_o o(t) (M, D) and the state after one more token (M,)."""
        used, which = tokens.unique(return_inverse=True)
        drives = self.recurrent.drive(self.embedding(used))[which]
        outputs, state = self.recurrent.advance(drives, state)
        return self.output_projection(outputs), state

    # The trie holds what the weights gave; it must not outlive them.

    @property
    def trie(self) -> PrefixTrie | None:
        """The paths that searches have visited with the present weights; None before the first."""
        return self._trie

    def clear_trie(self) -> None:
        """Forget them. Only needed after a few single weights were changed through ``.data``."""
        self._trie = None

    def train(self, mode: bool = True) -> 'LabelDecoder':
        """Switch dropout; averaged weights come and go at such a switch, so the trie goes."""
        self.clear_trie()
        return super().train(mode)

    def _fresh_trie(self, image: Tensor) -> PrefixTrie:
        """The trie of the present weights."""
        key = self._weights_key(image.device)
        fresh = self._trie is not None and key == self._trie_key
        if not fresh or not torch.equal(torch.cat(self._sampled), self._sample):
            state = self.initial_state(image[:1])
            vector = self.output_projection.weight.new_zeros(1, self.embedding.embedding_dim)
            self._trie = PrefixTrie(
                self.vocabulary.num_inputs, vector, state, self._expand, self.trie_bytes
            )
            # Some thousand weights: what writes to ``.data``, as averaging hooks do, shows here.
            flat = [weight.detach().view(-1) for weight in self._path_weights()]
            self._sampled = [part[:: max(len(part) // 1024, 1)] for part in flat]  # views
            self._trie_key, self._sample = key, torch.cat(self._sampled)
        return self._trie

    def _path_weights(self) -> list[Tensor]:
        modules = (self.embedding, self.recurrent, self.output_projection)
        return [weight for module in modules for weight in module.parameters()]

    def _weights_key(self, device: torch.device) -> tuple:
        """What changes when weights are updated, loaded, moved or cast."""
        autocast = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        return device, *autocast, *((_version(x), x.data_ptr()) for x in self._path_weights())


def _version(weight: Tensor) -> int:
    """How often a weight was written to; one made in inference mode does not know."""
    return -1 if weight.is_inference() else weight._version
