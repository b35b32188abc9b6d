# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What all models of label paths share: the label path, read by a recurrent layer, and search.

Axis letters: N sequences, T steps, C labels, V = C + 1 (labels and END), D embedding size,
H recurrent size, F image feature size, E size of what a decoder makes of an image.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...search import PrefixTrie, State, StepFunction
from ..vocabulary import Vocabulary
from .base_decoder import BaseDecoder
from .prefix_sharing import distinct_prefixes
from .recurrent import build_recurrent_layer

__all__ = ['PathDecoder']


class PathDecoder(BaseDecoder):
    """Scores of the next label, given the labels so far and the image.

    The label path is read as in equations (1) to (3) of the CNN-RNN paper::

        w_k = U_l e_k                     ``embedding`` (one row a token)
        o(t), r(t) = RNN(r(t-1), w_k(t))  ``recurrent``
        U_o o(t)                          ``output_projection``

    The image does not enter there, so what a path gives serves all images. What image and path make
    together is a subclass's affair: it says what it needs of an image, once an image, in
    :meth:`project_image`, and what follows a path in :meth:`score`.

    Args:
        vocabulary: Token ids; gives C.
        embed_dims: D.
        hidden_dims: H.
        recurrent: ``'relu_lstm'`` (the paper's cell), ``'lstm'``, ``'gru'`` or ``'none'``.
        dropout: Probability for U_o o(t), in [0, 1).
        trie_bytes: Most memory for the paths that searches have visited, see :meth:`begin_search`.
        init_cfg: The host's initialisation config.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        embed_dims: int = 64,
        hidden_dims: int = 512,
        recurrent: str = 'lstm',
        dropout: float = 0.5,
        trie_bytes: int = 256 * 2**20,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary.num_inputs, embed_dims)
        self.recurrent = build_recurrent_layer(recurrent, embed_dims, hidden_dims)
        self.output_projection = nn.Linear(hidden_dims, embed_dims, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.trie_bytes = trie_bytes
        self._trie: PrefixTrie | None = None
        self._trie_key: tuple[Any, ...] = ()
        self._sampled: list[Tensor] = []
        self._sample = torch.empty(0)

    def _start_embedding(self) -> None:
        """Unit-variance rows would start the tied scores of the paper at a spread of sqrt(D)."""
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)

    @abstractmethod
    def project_image(self, features: Tensor, marginal_logits: Tensor | None = None) -> Tensor:
        """What the scores need of the images: (N, E).

        Args:
            features: (N, F).
            marginal_logits: (N, C) of a marginal branch, where ``takes_marginals``.
        """

    @abstractmethod
    def score(self, paths: Tensor, image: Tensor, tokens: Tensor) -> Tensor:
        """Score what follows.

        Args:
            paths: (M, D), U_o o(t) of each path.
            image: (M, E) of each path's image, from :meth:`project_image`.
            tokens: (M,) int64, the last token of each path.

        Returns:
            (M, V), not normalised: the softmax is taken behind.
        """

    def embed(self, tokens: Tensor) -> Tensor:
        """U_l e_k: (...) int64 -> (..., D)."""
        return self.embedding(tokens)

    def initial_state(self, image: Tensor) -> State:
        """The recurrent state before START, for images (N, E)."""
        return self.recurrent.initial_state(image)

    def forward(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Score what follows each token.

        Args:
            image: (N, E) from :meth:`project_image`.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            state: The recurrent state before ``tokens``; None for the start of the sequence.

        Returns:
            Scores (N, T, V), not normalised, and the state after the last token.
        """
        if state is None:
            state = self.initial_state(image)
        outputs, state = self.recurrent(self.embed(tokens), state)  # (N, T, H)
        paths = self.output_projection(outputs).flatten(0, 1)  # (N * T, D)
        scores = self.score(paths, image.repeat_interleave(tokens.shape[1], 0), tokens.flatten())
        scores = scores.view(*tokens.shape, -1)
        return scores, state

    def score_sequences(self, image: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
        """Score what follows each token that counts, with one recurrent step a distinct prefix.

        The recurrent state does not depend on the image, so images whose labels begin alike share
        it; the image's share, dropout and scores are each image's own.

        Args:
            image: (N, E) from :meth:`project_image`.
            tokens: (N, T) int64, the inputs; a sequence starts with START.
            valid: (N, T) bool, False for padding, which may only stand behind.

        Returns:
            (M, V), the rows of :meth:`forward` where ``valid``.
        """
        levels, nodes = distinct_prefixes(tokens, valid, self.vocabulary.num_inputs)
        state = self.initial_state(image[:1])
        used, which = torch.cat([level.tokens for level in levels]).unique(return_inverse=True)
        drives = functional.embedding(which, self.recurrent.drive(self.embed(used)))
        outputs = []
        for level, drive in zip(levels, drives.split([len(x.tokens) for x in levels]), strict=True):
            output, state = self.recurrent.advance(
                drive, tuple(functional.embedding(level.parents, part) for part in state)
            )
            outputs.append(output)
        projected = self.output_projection(torch.cat(outputs))  # U_o o, one row a prefix
        rows = valid.nonzero()[:, 0]
        paths = functional.embedding(nodes, projected)  # (M, D)
        return self.score(paths, functional.embedding(rows, image), tokens[valid])

    def begin_search(
        self, image: Tensor, use_trie: bool = True, keep_all: bool = False
    ) -> tuple[StepFunction, State]:
        """What a search needs: the step and the state before START.

        The step's state is the number of each hypothesis's image and, with the trie, of its node,
        else the recurrent state.

        Args:
            image: (N, E) from :meth:`project_image`.
            use_trie: Look the share of the label path up in :attr:`trie`, which outlives the
                search, instead of running the recurrent layer for each hypothesis. Without effect
                where decoder or dropout are in training mode: every hypothesis is different then.
            keep_all: The search comes back to prefixes of earlier steps (best-first search does).
        """
        rows = torch.arange(len(image), device=image.device)
        if use_trie and not (self.training or self.dropout.training):
            trie = self._fresh_trie(image)
            trie.begin(keep_all)

            def look_up(tokens: Tensor, state: State) -> tuple[Tensor, State]:
                rows, nodes = state
                nodes = trie.advance(nodes, tokens)
                scores = self.score(trie.vectors(nodes), image.index_select(0, rows), tokens)
                return scores.float().log_softmax(-1), (rows, nodes)

            return look_up, (rows, torch.zeros_like(rows))

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            rows, *recurrent = state
            paths, recurrent = self._expand(tokens, tuple(recurrent))
            scores = self.score(paths, image.index_select(0, rows), tokens)
            return scores.float().log_softmax(-1), (rows, *recurrent)

        return step, (rows, *self.initial_state(image))

    def _expand(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """U_o o(t) (M, D) and the state after one more token (M,)."""
        used, which = tokens.unique(return_inverse=True)
        drives = self.recurrent.drive(self.embed(used))[which]
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

    def train(self, mode: bool = True) -> 'PathDecoder':
        """Switch dropout; averaged weights come and go at such a switch, so the trie goes."""
        self.clear_trie()
        return super().train(mode)

    def _fresh_trie(self, image: Tensor) -> PrefixTrie:
        """The trie of the present weights."""
        key = self._weights_key(image.device)
        trie = self._trie if key == self._trie_key else None
        if trie is None or not torch.equal(torch.cat(self._sampled), self._sample):
            state = self.initial_state(image[:1])
            vector = self.output_projection.weight.new_zeros(1, self.embedding.embedding_dim)
            trie = self._trie = PrefixTrie(
                self.vocabulary.num_inputs, vector, state, self._expand, self.trie_bytes
            )
            # Some thousand weights: what writes to ``.data``, as averaging hooks do, shows here.
            flat = [weight.detach().view(-1) for weight in self._path_weights()]
            self._sampled = [part[:: max(len(part) // 1024, 1)] for part in flat]  # views
            self._trie_key, self._sample = key, torch.cat(self._sampled)
        return trie

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
