# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The step function of a trained decoder in operators that can be exported.

Axis letters: N images, M hypotheses, B regions, C labels, V = C + 1 (labels and END), D embedding
size, E size of what a decoder makes of an image, G size of the recurrent layer's drive.
"""

import copy

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.decoders import BaseDecoder, ChainDecoder, PathDecoder, RegionDecoder
from ...search import State, StepFunction

__all__ = ['ExportSteps']


class ExportSteps(nn.Module):
    """What :meth:`BaseDecoder.begin_search` gives, without a look at which tokens are there.

    The decoders drive their recurrent layer once for each distinct token of a step, whose number
    depends on the images. Here the drives of all tokens are made beforehand, once for the model.

    Args:
        decoder: ``LabelDecoder``, ``SkipDecoder``, ``ChainDecoder``, or ``RegionDecoder`` around
            one of the first two; its weights are shared, and it is left as it is.
        end_bias: Of the postprocessor, see :class:`PathPostprocessor`.

    Raises:
        UsageError: If the decoder is of another type, or lacks its label order.
    """

    drives: Tensor

    def __init__(self, decoder: BaseDecoder, end_bias: float = 0.0) -> None:
        super().__init__()
        self.has_regions = isinstance(decoder, RegionDecoder)
        inner = decoder.inner if self.has_regions else decoder
        if not isinstance(inner, PathDecoder):
            raise UsageError(
                f'{type(inner).__name__} can not be exported: LabelDecoder, SkipDecoder and '
                'ChainDecoder can'
            )
        if isinstance(inner, ChainDecoder):
            inner = _knows_its_order(inner)
        self.decoder, self.inner, self.end_bias = decoder, inner, end_bias
        with torch.no_grad():
            tokens = torch.arange(inner.vocabulary.num_inputs, device=inner.embedding.weight.device)
            drives = inner.recurrent.drive(inner.embed(tokens))
        self.register_buffer('drives', drives, persistent=False)  # (C + 2, G)

    def project_image(self, features: Tensor, marginal_logits: Tensor | None) -> Tensor:
        """What the decoder needs of images without regions: (N, F) and (N, C) -> (N, E)."""
        return self.inner.project_image(features, marginal_logits)

    def begin(self, image: Tensor, num_images: int) -> tuple[StepFunction, State]:
        """The step, and the state before START.

        Args:
            image: (N, E) of :meth:`project_image`, or (N, B, E) of
                :meth:`RegionDecoder.project_regions`.
            num_images: N, from a tensor for which the exporter knows that it is open.
        """
        rows = torch.arange(num_images, device=image.device)
        step = self._step_regions if self.has_regions else self._step

        def normalised(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            rows, *recurrent = state
            scores, recurrent = step(image.index_select(0, rows), tokens, tuple(recurrent))
            log_probs = scores.float().log_softmax(-1)
            if self.end_bias:
                end = self.inner.vocabulary.end
                ends = log_probs[:, end:] + self.end_bias
                log_probs = torch.cat([log_probs[:, :end], ends], -1).log_softmax(-1)
            return log_probs, (rows, *recurrent)

        return normalised, (rows, *self._initial_state(image, num_images))

    def _initial_state(self, image: Tensor, num_images: int) -> State:
        # Of one image, or region, spread over all: len() of a batch is a fixed number in an export.
        zeros = self.inner.recurrent.initial_state(self.drives[:1])
        if not self.has_regions:
            return tuple(part.expand(num_images, -1) for part in zeros)
        regions = int(image.shape[1])
        state = tuple(part.expand(num_images * regions, -1) for part in zeros)
        if self.decoder.start is not None:
            dims = self.decoder.embed_dims
            start = image[..., -1 - dims : -1].flatten(0, 1)  # (N * B, D)
            layer = self.inner.recurrent
            _, state = layer.advance(layer.drive(start), state)
        return tuple(part.unflatten(0, (-1, regions)) for part in state)

    def _step(self, image: Tensor, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """(M, E), (M,) and the state -> (M, V) and the state."""
        outputs, state = self.inner.recurrent.advance(self.drives[tokens], state)
        paths = self.inner.output_projection(outputs)  # (M, D)
        return self.inner.score(paths, image, tokens), state

    def _step_regions(self, image: Tensor, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """(M, B, E), (M,) and the state -> (M, V) and the state, as in :class:`RegionDecoder`."""
        scores, state = self._region_scores(image, tokens, state)
        end = self.inner.vocabulary.end
        labels = self.decoder.fuse(scores[..., :end], image[..., -1])
        return torch.cat([labels, scores[:, 0, end:]], -1), state

    def _region_scores(self, image: Tensor, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """What each region says: (M, B, V), and the state."""
        split = (-1, int(image.shape[1]))  # M is left open, lest it becomes a constant
        each = tokens.unsqueeze(1).expand(split).flatten()  # (M * B,)
        seen = image[..., : -1 - self.decoder.embed_dims].flatten(0, 1)
        scores, state = self._step(seen, each, tuple(part.flatten(0, 1) for part in state))
        return scores.unflatten(0, split), tuple(part.unflatten(0, split) for part in state)

    def responsible_regions(self, image: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`RegionDecoder.responsible_regions`.

        Args:
            image: (N, B, E).
            labels: (N, L) int64, -1 behind the last label.

        Returns:
            (N, L) int64; anything behind the last label.
        """
        state = self._initial_state(image, labels.shape[0])
        tokens = torch.full_like(labels[:, 0], self.inner.vocabulary.start)
        regions = []
        for label in labels.clamp(min=0).unbind(1):
            scores, state = self._region_scores(image, tokens, state)
            places = label.view(-1, 1, 1).expand(-1, scores.shape[1], -1)
            voices = scores.gather(-1, places).squeeze(-1) + image[..., -1]  # (N, B)
            regions.append(voices.argmax(1))
            tokens = label
        return torch.stack(regions, 1)


def _knows_its_order(decoder: ChainDecoder) -> ChainDecoder:
    """The decoder, for which the question whether it knows its order needs no look at a tensor."""
    if not decoder.is_ordered:
        raise UsageError(
            'the checkpoint holds no label order, without which ChainDecoder means nothing: take '
            'one that was trained with LabelOrderHook'
        )
    decoder = copy.copy(decoder)  # shares the weights
    kind = type(decoder)
    decoder.__class__ = type(kind.__name__, (kind,), {'is_ordered': True})
    return decoder
