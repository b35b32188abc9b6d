# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search over label paths, batched over images and beams (section 3.3 of the CNN-RNN paper).

Axis letters: N images, A images still searching, C labels, V = C + 1 (labels and END), B beams,
W <= B live prefixes of an image, K paths kept, T labels in the prefixes so far.
"""

import torch
from torch import Tensor

from ..errors import UsageError
from .types import SearchResult, State, StepFunction

__all__ = ['beam_search', 'check_options']

_NEVER = float('-inf')


@torch.no_grad()
def beam_search(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    beam_size: int = 5,
    min_length: int = 0,
    max_length: int | None = None,
    num_paths: int | None = None,
) -> SearchResult:
    """Find probable label paths that end in END and hold no label twice.

    Each live prefix is expanded by its ``beam_size`` best tokens. A prefix whose END is among them
    becomes a candidate; the ``beam_size`` best other expansions of an image stay live. An image is
    finished, and leaves the batch, when no live prefix is more probable than its worst candidate
    kept: log-probabilities never rise along a path, so nothing better can follow. Each image is
    judged alone, thus its result does not depend on the others. With ``beam_size=1`` this is greedy
    decoding.

    Labels that a path already holds, or that a length limit forbids, are skipped; the probabilities
    of the others stay as the model gives them, so a path's probability is always equation (6).

    Args:
        step: The model: ``step(tokens (M,), state) -> (log_probs (M, V), state)``.
        state: The state before the first step, each tensor with first axis N.
        start_tokens: (N,) int64, what ``step`` is fed first.
        num_labels: C. Tokens 0..C-1 are labels, token C is END.
        beam_size: B >= 1. More beams than there are paths is fine.
        min_length: Least number of labels, 0..C.
        max_length: Most labels in a path; None or anything above C means C.
        num_paths: K, the candidates kept and returned for each image; None means ``beam_size``.

    Returns:
        Up to K finished paths of each image, best first.

    Raises:
        UsageError: If an option is out of range.
        FloatingPointError: If the model's log-probabilities leave an image without a path.
    """
    max_length, num_paths = check_options(num_labels, beam_size, min_length, max_length, num_paths)
    num_images, device = len(start_tokens), start_tokens.device
    # Candidates of all images. Both hold only what is finished.
    kept = torch.full((num_images, num_paths), _NEVER, device=device)
    kept_paths = torch.full((num_images, num_paths, 0), -1, device=device, dtype=torch.long)
    kept_steps = torch.zeros((num_images, num_paths, 0), device=device)
    kept_lengths = torch.zeros((num_images, num_paths), device=device, dtype=torch.long)
    marginals = torch.zeros((num_images, num_labels), device=device)
    # Live prefixes of the images that still search.
    active = torch.arange(num_images, device=device)  # (A,)
    scores = torch.zeros((num_images, 1), device=device)  # (A, W)
    paths = torch.empty((num_images, 1, 0), device=device, dtype=torch.long)  # (A, W, T)
    steps = torch.empty((num_images, 1, 0), device=device)  # (A, W, T)
    used = torch.zeros((num_images, 1, num_labels), device=device, dtype=torch.bool)
    tokens = start_tokens

    for length in range(max_length + 1):
        num_active, width = scores.shape
        log_probs, state = step(tokens.reshape(-1), state)
        log_probs = log_probs.float().view(num_active, width, num_labels + 1)
        label_log_probs = log_probs[..., :num_labels].masked_fill(used, _NEVER)
        end_log_probs = log_probs[..., num_labels]  # (A, W)
        if length < min_length:
            end_log_probs = torch.full_like(end_log_probs, _NEVER)
        if length == max_length:
            label_log_probs = torch.full_like(label_log_probs, _NEVER)
        expanded = scores.unsqueeze(-1) + label_log_probs  # (A, W, C)
        marginals[active] += expanded.exp().sum(1)

        # Prefixes that end here, if END is one of their B best tokens.
        better = (label_log_probs > end_log_probs.unsqueeze(-1)).sum(-1)
        ended = torch.where(better < beam_size, scores + end_log_probs, _NEVER)  # (A, W)
        merged, pick = torch.cat([kept[active], ended], 1).topk(num_paths)  # (A, K)
        grown_paths = _pad_last(kept_paths, length - kept_paths.shape[-1], -1)
        grown_steps = _pad_last(kept_steps, length + 1 - kept_steps.shape[-1], 0.0)
        ended_steps = torch.cat([steps, end_log_probs.unsqueeze(-1)], -1)
        lengths = torch.full((num_active, width), length, device=device)
        kept, kept_paths, kept_steps, kept_lengths = (
            whole.index_copy(0, active, _take(torch.cat([whole[active], new], 1), pick))
            for whole, new in (
                (kept, ended),
                (grown_paths, paths),
                (grown_steps, ended_steps),
                (kept_lengths, lengths),
            )
        )

        # Prefixes that go on, and the images whose best one can still beat a candidate.
        best, flat = expanded.flatten(1).topk(min(beam_size, width * num_labels))  # (A, W')
        worst_kept = merged.masked_fill(merged == _NEVER, float('inf')).amin(1)  # (A,)
        going = (best[:, 0] > _NEVER) & ((best[:, 0] > worst_kept) | (merged[:, 0] == _NEVER))
        if not going.any():
            break
        row = going.nonzero().squeeze(-1)  # (A',)
        parent, label = flat[row] // num_labels, flat[row] % num_labels  # (A', W')
        source = (row.unsqueeze(-1) * width + parent).flatten()  # the backpointers
        state = tuple(part[source] for part in state)
        active, scores, tokens = active[row], best[row], label
        chosen = label_log_probs[row].flatten(1).gather(1, flat[row])
        paths = torch.cat([_take(paths[row], parent), label.unsqueeze(-1)], -1)
        steps = torch.cat([_take(steps[row], parent), chosen.unsqueeze(-1)], -1)
        used = _take(used[row], parent).scatter(-1, label.unsqueeze(-1), True)

    _check_result(kept)
    exists = kept > _NEVER
    longest = int(kept_lengths.where(exists, 0).max())
    return SearchResult(
        paths=kept_paths[..., :longest].masked_fill(~exists.unsqueeze(-1), -1),
        lengths=kept_lengths.masked_fill(~exists, 0),
        log_probs=kept,
        step_log_probs=kept_steps[..., : longest + 1].masked_fill(~exists.unsqueeze(-1), 0.0),
        marginals=marginals.clamp_(max=1.0),
    )


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Pick entries ``index`` (A, M) of axis 1 of ``values`` (A, W, ...)."""
    shape = index.shape + values.shape[2:]
    return values.gather(1, index.reshape(index.shape + (1,) * (values.dim() - 2)).expand(shape))


def _pad_last(values: Tensor, amount: int, fill: float) -> Tensor:
    """Append ``amount`` entries ``fill`` to the last axis."""
    return torch.nn.functional.pad(values, (0, amount), value=fill)


def check_options(
    num_labels: int, beam_size: int, min_length: int, max_length: int | None, num_paths: int | None
) -> tuple[int, int]:
    """Return the effective ``max_length`` and ``num_paths``, or raise ``UsageError``."""
    if num_labels < 1:
        raise UsageError(f'num_labels is {num_labels}: there must be at least one label')
    if beam_size < 1:
        raise UsageError(f'beam_size is {beam_size}: set it to 1 (greedy) or more')
    if num_paths is not None and num_paths < 1:
        raise UsageError(f'num_paths is {num_paths}: set it to 1 or more')
    max_length = num_labels if max_length is None else min(max_length, num_labels)
    if not 0 <= min_length <= max_length:
        raise UsageError(
            f'min_length is {min_length} and max_length is {max_length} with {num_labels} labels: '
            'they must satisfy 0 <= min_length <= max_length, since no label comes twice'
        )
    return max_length, beam_size if num_paths is None else num_paths


def _check_result(kept: Tensor) -> None:
    bad = (~kept[:, 0].isfinite()).nonzero().flatten().tolist()
    if bad:
        raise FloatingPointError(
            f'no path found for image {bad[0]} of the batch ({len(bad)} such images): the model '
            'gave NaN or infinite scores; check its weights and the learning rate'
        )
