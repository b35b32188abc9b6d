# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search as public implementations of captioning and CNN-RNN write it: loops in Python.

One image at a time; within it, a loop over steps and over live paths. The rules are those of the
paper, and of ``cnnrnn_mm.search.beam_search``: a path goes on with its B best tokens, becomes a
candidate where END is among them, holds no label twice, and the search of an image stops when no
live path is more probable than its best candidate.

Axis letters: N images, M live paths, V = C + 1 (labels and END), D embedding size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnrnn_mm.models.decoders import LabelDecoder

from .scoring import State, score_step

__all__ = ['loop_over_images', 'loop_over_paths']


@dataclass(frozen=True)
class _Path:
    """A path, and the recurrent state before its last token was read (first axis 1)."""

    labels: list[int]
    log_prob: float
    state: State


#: ``(decoder, image (1, D), live paths) -> for each path its log-probabilities (V,) and state``.
_Scorer = Callable[[LabelDecoder, Tensor, Sequence[_Path]], list[tuple[Tensor, State]]]


@torch.no_grad()
def loop_over_paths(
    decoder: LabelDecoder, image: Tensor, beam_size: int
) -> tuple[list[list[int]], Tensor]:
    """One image at a time, one call of the model for each live path. See the package."""
    return _search_all(decoder, image, beam_size, _score_one_by_one)


@torch.no_grad()
def loop_over_images(
    decoder: LabelDecoder, image: Tensor, beam_size: int
) -> tuple[list[list[int]], Tensor]:
    """One image at a time, its live paths as one batch. See the package."""
    return _search_all(decoder, image, beam_size, _score_together)


def _search_all(
    decoder: LabelDecoder, image: Tensor, beam_size: int, scorer: _Scorer
) -> tuple[list[list[int]], Tensor]:
    best = [_search_one(decoder, one, beam_size, scorer) for one in image.split(1)]
    return [path.labels for path in best], torch.tensor([path.log_prob for path in best])


def _search_one(decoder: LabelDecoder, image: Tensor, beam_size: int, scorer: _Scorer) -> _Path:
    """The best path of one image (1, D)."""
    end = decoder.vocabulary.end
    live = [_Path([], 0.0, decoder.recurrent.initial_state(image))]
    best = None
    for _ in range(end + 1):
        extended = []
        scored = scorer(decoder, image, live)
        for path, (log_probs, state) in zip(live, scored, strict=True):
            log_probs[path.labels] = float('-inf')
            # END takes a label's place here, which costs nothing: what it displaces is less
            # probable than the candidate.
            values, tokens = log_probs.topk(min(beam_size, len(log_probs)))
            for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
                total = path.log_prob + value
                if value == float('-inf'):
                    break
                if token != end:
                    extended.append(_Path([*path.labels, token], total, state))
                elif best is None or total > best.log_prob:
                    best = _Path(path.labels, total, ())
        live = sorted(extended, key=lambda path: -path.log_prob)[:beam_size]
        if not live or (best is not None and live[0].log_prob <= best.log_prob):
            break
    if best is None:
        raise FloatingPointError('no path found: the model gave NaN or infinite scores')
    return best


def _last_token(decoder: LabelDecoder, path: _Path) -> int:
    return path.labels[-1] if path.labels else decoder.vocabulary.start


def _score_one_by_one(
    decoder: LabelDecoder, image: Tensor, live: Sequence[_Path]
) -> list[tuple[Tensor, State]]:
    scored = []
    for path in live:
        token = torch.tensor([_last_token(decoder, path)], device=image.device)
        log_probs, state = score_step(decoder, token, image, path.state)
        scored.append((log_probs[0], state))
    return scored


def _score_together(
    decoder: LabelDecoder, image: Tensor, live: Sequence[_Path]
) -> list[tuple[Tensor, State]]:
    tokens = torch.tensor([_last_token(decoder, path) for path in live], device=image.device)
    states = tuple(torch.cat(parts) for parts in zip(*(path.state for path in live), strict=True))
    log_probs, states = score_step(decoder, tokens, image.expand(len(live), -1), states)  # (M, V)
    return [
        (row, tuple(part[index : index + 1] for part in states))
        for index, row in enumerate(log_probs)
    ]
