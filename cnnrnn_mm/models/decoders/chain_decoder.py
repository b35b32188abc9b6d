# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A chain of sigmoids as a model of label paths.

Axis letters: N images, M paths, C labels, V = C + 1 (labels and END), D embedding size, F image
feature size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...registry import MODELS
from ..vocabulary import NO_SINGLE_ORDER, Vocabulary
from .label_decoder import find_activation
from .path_decoder import PathDecoder

__all__ = ['ChainDecoder']


@MODELS.register_module()
class ChainDecoder(PathDecoder):
    """A classifier chain over the labels, as a model of label paths.

    Labels are asked about one after the other, in a fixed order: is label l there, given the image
    and the labels found so far? With l_1, l_2, ... in that order and z_l the logit of label l
    behind the labels found so far, of which l_i is the last::

        P(l_j next) = sigmoid(z_j) * product over i < k < j of (1 - sigmoid(z_k))
        P(END)      = product over k > i of (1 - sigmoid(z_k))

    which sums to 1, and is a step function like any other: beam search, best-first search and their
    bounds work on it as they do on the paper's softmax. Each label set has exactly one path, so the
    path's probability is the set's. This is a probabilistic classifier chain (Dembczynski et al.,
    ICML 2010) whose memory is a recurrent layer, which reads the labels that are there.

    The logit is z = a m + b + A h(U_o o(t)), where m are the logits of the marginal branch, a is a
    learned factor and A starts at zero: the model starts as one sigmoid a label, contains it, and
    learns what labels say about each other besides.

    Args:
        vocabulary: Token ids; gives C.
        in_channels: F.
        embed_dims: D.
        hidden_dims: H.
        recurrent: ``'relu_lstm'``, ``'lstm'``, ``'gru'`` or ``'none'``.
        dropout: Probability for the labels' embeddings and the projections, in [0, 1).
        activation: h: ``'relu'``, ``'tanh'`` or ``'identity'``.
        read_image: Also add U_I I inside of h, as in equation (4) of the paper: what labels say
            about each other may then depend on the image.
        detach: Whether the sequence loss stops before the marginal branch, which then learns from
            its own loss alone.
        strength: Factor of A h(...) + b outside of training. Below 1 it shrinks what labels say
            about each other, of which a small training split teaches too much; at 0 one sigmoid a
            label is left.
        **kwargs: Passed on to :class:`PathDecoder`.

    Raises:
        UsageError: Where it is used before :meth:`set_order`, or on labels in another order.
    """

    takes_marginals = True
    bars_labels = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        in_channels: int,
        embed_dims: int = 64,
        hidden_dims: int = 64,
        recurrent: str = 'gru',
        dropout: float = 0.3,
        activation: str = 'identity',
        read_image: bool = False,
        detach: bool = True,
        strength: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if strength < 0:
            raise UsageError(f'strength is {strength}: set it to 0 or more')
        super().__init__(vocabulary, embed_dims, hidden_dims, recurrent, dropout, **kwargs)
        num_classes = vocabulary.num_classes
        self.activation = find_activation(activation)
        self.detach, self.strength = detach, strength
        self.image_projection = nn.Linear(in_channels, embed_dims) if read_image else None
        self.classifier = nn.Linear(embed_dims, num_classes)
        self.skip_scale = nn.Parameter(torch.ones(()))
        self._start_embedding()
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        # In the checkpoint: the weights mean nothing without the order that they were learnt in.
        self.register_buffer('order', torch.full((num_classes,), -1))
        self.register_buffer('places', torch.full((vocabulary.num_inputs,), -1), persistent=False)

    def set_order(self, name: str, order: Sequence[int]) -> None:
        """Take the label order.

        Args:
            name: What the order is called.
            order: All class ids.

        Raises:
            UsageError: If there is no single order, or it does not hold each class once.
        """
        if name in NO_SINGLE_ORDER:
            raise UsageError(
                f"ChainDecoder asks for the labels in one fixed order, and '{name}' is a new one "
                'for each image: use a fixed one, such as frequent_first'
            )
        order = torch.as_tensor(order, dtype=torch.long, device=self.order.device)
        if not torch.equal(order.sort().values, torch.arange(len(self.order), device=order.device)):
            raise UsageError(
                f'a label order of {len(order)} labels does not hold each of the '
                f'{len(self.order)} classes once: give all class ids'
            )
        self.order.copy_(order)
        self._place_labels()

    def _place_labels(self) -> None:
        """Where each token stands in the order; START and END stand before the first label."""
        self.places.fill_(-1)
        self.places[self.order] = torch.arange(len(self.order), device=self.order.device)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.is_ordered:
            self._place_labels()

    @property
    def is_ordered(self) -> bool:
        """Whether the label order is known."""
        return bool(self.order[0] >= 0)

    def project_image(self, features: Tensor, marginal_logits: Tensor | None = None) -> Tensor:
        """The share of the marginal branch, and U_I I: (N, C) or (N, C + D)."""
        if not self.is_ordered:
            raise UsageError(
                'ChainDecoder does not know the label order: train with OrderLabels and '
                'LabelOrderHook, load a checkpoint, or call set_order'
            )
        logits = self._check_marginals(marginal_logits)
        logits = logits.detach() if self.detach else logits
        skip = self.skip_scale * logits
        if self.image_projection is None:
            return skip
        return torch.cat([skip, self.dropout(self.image_projection(features))], -1)

    def embed(self, tokens: Tensor) -> Tensor:
        """U_l e_k, with dropout."""
        return self.dropout(super().embed(tokens))

    def logits(self, paths: Tensor, image: Tensor) -> Tensor:
        """z: (M, D) and (M, C) or (M, C + D) -> (M, C), in the order of class ids."""
        skip, *joint = image.split(
            [self.vocabulary.num_classes, image.shape[-1] - self.vocabulary.num_classes], -1
        )
        inner = self.dropout(paths)
        if self.image_projection is not None:
            inner = inner + joint[0]
        logits = self.classifier(self.activation(inner))
        return skip + (logits if self.training else self.strength * logits)

    def score(self, paths: Tensor, image: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities of what follows, (M, V); -inf for labels that the order bars."""
        logits = self.logits(paths, image).float().index_select(-1, self.order)  # by place
        places = torch.arange(len(self.order), device=logits.device)
        barred = places <= self.places[tokens].unsqueeze(-1)  # (M, C)
        present = functional.logsigmoid(logits)
        absent = (present - logits).masked_fill(barred, 0.0)  # log(1 - sigmoid(z))
        none_yet = absent.cumsum(-1)
        steps = (present + none_yet - absent).masked_fill(barred, -torch.inf)
        steps = steps.index_select(-1, self.places[: len(self.order)])  # by class id
        return torch.cat([steps, none_yet[:, -1:]], -1)

    def score_sequences(self, image: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
        """See :meth:`PathDecoder.score_sequences`; the labels have to stand in the order."""
        places = self.places[tokens]
        if bool(((places.diff(dim=-1) <= 0) & valid[:, 1:]).any()):
            raise UsageError(
                'labels of an image do not stand in the order of ChainDecoder: put OrderLabels '
                'with a fixed order, such as frequent_first, into the training pipeline'
            )
        return super().score_sequences(image, tokens, valid)

    def label_vectors(self) -> Tensor | None:
        """A, one row a label: (C, D); None where the image is not read inside of h."""
        return None if self.image_projection is None else self.classifier.weight

    def image_vectors(self, features: Tensor) -> Tensor:
        """h(U_I I): (N, F) -> (N, D)."""
        if self.image_projection is None:
            return super().image_vectors(features)
        return self.activation(self.image_projection(features))
