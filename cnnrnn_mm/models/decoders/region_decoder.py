# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label paths of an image of which many regions are seen.

Axis letters: N images, B regions, M paths, T steps, C labels, V = C + 1 (labels and END), D
embedding size, F region feature size, E size of what the label decoder makes of a region.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ...search import State, StepFunction
from ..region_fusion import find_fusion, gates_of
from ..regions import Regions
from ..vocabulary import Vocabulary
from .base_decoder import BaseDecoder
from .path_decoder import PathDecoder

__all__ = ['RegionDecoder']


@MODELS.register_module()
class RegionDecoder(BaseDecoder):
    """One recurrent layer over the labels for each region; the regions answer together.

    RLSD (Zhang et al., "Multi-label image classification with regional latent semantic
    dependencies", IEEE Trans. Multimedia 2018). All regions read the same label path, each with a
    recurrent state of its own, which starts from the region's feature::

        r_b(0)   = RNN(0, W I_b)                    ``start``: the region's feature comes first
        s_b(t)   = score(U_o o_b(t), U_I I_b)       as the label decoder has it
        s(t)[l]  = max over b of (s_b(t)[l] + g_b)  for each label l
        s(t)[END] = s_0(t)[END]                     region 0 is the whole image

    and the softmax over s(t) gives P(next | path, image). So the model is, like CNN-RNN, one
    distribution over the label paths of an image: loss, search, bounds, constraints and scores are
    the same. Which region a label comes from may change from step to step; g_b is the log of the
    probability that region b shows anything (``Regions.log_gates``), through which image labels
    also train the proposals. Whether labels are missing can only be told from the whole image,
    hence END.

    The paper takes the class-wise maximum over regions and steps of what each region's own LSTM
    gives, and does not say in what we could read how the image's loss passes through it; a maximum
    at each step, in front of the softmax, is this project's choice. The maximum over steps is in
    ``pred_score`` (docs/scores.md).

    Args:
        vocabulary: Token ids; gives C.
        in_channels: F.
        embed_dims: D.
        hidden_dims: Size of the recurrent layer.
        label_decoder: Config of what scores a region: ``LabelDecoder`` or ``SkipDecoder``.
        fusion: ``'max'``, ``'logsumexp'`` or ``'whole_and_max'``, see :data:`FUSIONS`.
        start_from_region: False lets all states start at zero, as in CNN-RNN.
        init_cfg: The host's initialisation config.
        **kwargs: Passed on to the label decoder.

    Raises:
        UsageError: If the label decoder gives no scores that can be compared between regions.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        in_channels: int,
        embed_dims: int = 64,
        hidden_dims: int = 512,
        label_decoder: dict | None = None,
        fusion: str = 'max',
        start_from_region: bool = True,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.vocabulary = vocabulary
        cfg = {'type': 'LabelDecoder', '_scope_': SCOPE, **(label_decoder or {})}
        filled = dict(embed_dims=embed_dims, hidden_dims=hidden_dims, **kwargs)
        self.inner = MODELS.build(
            cfg, default_args=dict(vocabulary=vocabulary, in_channels=in_channels, **filled)
        )
        if not isinstance(self.inner, PathDecoder) or self.inner.bars_labels:
            raise UsageError(
                f'{type(self.inner).__name__} gives no scores that can be compared between '
                'regions: let label_decoder be LabelDecoder or SkipDecoder'
            )
        self.takes_marginals = self.inner.takes_marginals
        self.fuse = find_fusion(fusion)
        self.embed_dims = embed_dims
        self.start = nn.Linear(in_channels, embed_dims) if start_from_region else None

    def project_regions(
        self, features: Tensor, regions: Regions, marginal_logits: Tensor | None = None
    ) -> Tensor:
        """What the scores need of the regions: (N, B, E + D + 1), the last column holds g.

        Args:
            features: (N, B, F), those of the regions, maybe with dropout.
            regions: The regions.
            marginal_logits: (N, B, C) of a marginal branch, where ``takes_marginals``.
        """
        image = self.inner.project_image(features, marginal_logits)
        if self.start is None:
            start = features.new_zeros(*features.shape[:2], self.embed_dims)
        else:
            start = self.inner.dropout(self.start(features))
        gates = gates_of(regions.log_gates, regions.valid).to(image.dtype)
        return torch.cat([image, start, gates.unsqueeze(-1)], -1)

    def initial_state(self, image: Tensor) -> State:
        """The recurrent state of each region before START, tensors (N, B, H)."""
        start = image[..., -1 - self.embed_dims : -1].flatten(0, 1)  # (N * B, D)
        layer = self.inner.recurrent
        state = layer.initial_state(start)
        if self.start is not None:
            _, state = layer.advance(layer.drive(start), state)
        return tuple(part.unflatten(0, image.shape[:2]) for part in state)

    def region_scores(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """What each region says follows each token, without g.

        Args:
            image: (N, B, ...) from :meth:`project_regions`.
            tokens: (N, T) int64.
            state: Before ``tokens``; None for the start of the sequence.

        Returns:
            (N, B, T, V), not normalised, and the state after the last token.
        """
        state = self.initial_state(image) if state is None else state
        num_images, num_regions = image.shape[:2]
        each = tokens.repeat_interleave(num_regions, 0)  # (N * B, T)
        flat = tuple(part.flatten(0, 1) for part in state)
        outputs, flat = self.inner.recurrent(self.inner.embed(each), flat)
        paths = self.inner.output_projection(outputs).flatten(0, 1)  # (N * B * T, D)
        seen = image[..., : -1 - self.embed_dims].flatten(0, 1)  # (N * B, E)
        seen = seen.repeat_interleave(tokens.shape[1], 0)
        scores = self.inner.score(paths, seen, each.flatten())
        scores = scores.view(num_images, num_regions, tokens.shape[1], -1)
        return scores, tuple(part.unflatten(0, (num_images, num_regions)) for part in flat)

    def forward(
        self, image: Tensor, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """See :meth:`BaseDecoder.forward`."""
        scores, state = self.region_scores(image, tokens, state)
        scores = scores.transpose(1, 2)  # (N, T, B, V)
        end = self.vocabulary.end
        gates = image[..., -1].unsqueeze(1).expand(-1, tokens.shape[1], -1)
        labels = self.fuse(scores[..., :end], gates)
        return torch.cat([labels, scores[:, :, 0, end:]], -1), state

    def score_sequences(self, image: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
        """See :meth:`BaseDecoder.score_sequences`; no two regions share a recurrent state."""
        return self(image, tokens)[0][valid]

    def begin_search(
        self, image: Tensor, use_trie: bool = True, keep_all: bool = False
    ) -> tuple[StepFunction, State]:
        """See :meth:`BaseDecoder.begin_search`; there is nothing that paths of images share."""

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            rows, *recurrent = state
            image_of = image.index_select(0, rows)
            scores, recurrent = self(image_of, tokens.unsqueeze(1), tuple(recurrent))
            return scores[:, 0].float().log_softmax(-1), (rows, *recurrent)

        rows = torch.arange(len(image), device=image.device)
        return step, (rows, *self.initial_state(image))

    def label_vectors(self) -> Tensor | None:
        """Those of the label decoder: (C, D)."""
        return self.inner.label_vectors()

    def image_vectors(self, features: Tensor) -> Tensor:
        """That of region 0, the whole image: (N, B, F) -> (N, D)."""
        return self.inner.image_vectors(features[:, 0])

    @torch.no_grad()
    def responsible_regions(self, image: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """The region with the loudest voice for each label of a path.

        Args:
            image: (N, B, ...) from :meth:`project_regions`.
            tokens: (N, T) int64, START and all labels but the last.
            labels: (N, T) int64, what follows each token.

        Returns:
            (N, T) int64.
        """
        scores, _ = self.region_scores(image, tokens)  # (N, B, T, V)
        places = labels[:, None, :, None].expand(-1, scores.shape[1], -1, 1)
        voices = scores.gather(-1, places).squeeze(-1)  # (N, B, T)
        return (voices + image[..., -1].unsqueeze(-1)).argmax(1)
