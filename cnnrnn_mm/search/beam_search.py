# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search over label paths, batched over images and beams (section 3.3 of the CNN-RNN paper).

Axis letters: N images, A images still searching, C labels, V = C + 1 (labels and END), B beams,
W live prefixes of an image, K paths kept, T labels in the prefixes so far.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from ..errors import UsageError
from .beam_history import BeamHistory
from .constraints import Constraints
from .rules import Hypotheses, Rules, count_required
from .tally import Tally
from .types import NEVER, SearchResult, State, StepFunction, as_normal_tensors, check_found

__all__ = ['beam_search', 'check_sizes']

#: Finished images are taken out of the batch once at most this share of it is still searching.
MOST_GOING = 0.6


@torch.inference_mode()
def beam_search(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    beam_size: int = 5,
    num_paths: int | None = None,
    constraints: Constraints | Sequence[Constraints] | None = None,
) -> SearchResult:
    """Find probable label paths that end in END and hold no label twice.

    Each live prefix is expanded by its ``beam_size`` best tokens. A prefix whose END is among them
    becomes a candidate; the ``beam_size`` best other expansions of an image stay live. An image is
    finished, and leaves the batch, when no live prefix is more probable than its worst candidate
    kept: log-probabilities never rise along a path, so nothing better can follow. Each image is
    judged alone, thus its result does not depend on the others. With ``beam_size=1`` this is greedy
    decoding.

    Labels that a path already holds, or that a constraint forbids, are skipped; the probabilities
    of the others stay as the model gives them, so a path's probability is always equation (6).
    Prefixes that hold 0, 1, ... of the labels an image requires are kept apart, ``beam_size`` of
    each kind: else what is probable without them would crowd out what leads to them.

    Args:
        step: The model: ``step(tokens (M,), state) -> (log_probs (M, V), state)``.
        state: The state before the first step, each tensor with first axis N.
        start_tokens: (N,) int64, what ``step`` is fed first.
        num_labels: C. Tokens 0..C-1 are labels, token C is END.
        beam_size: B >= 1. More beams than there are paths is fine.
        num_paths: K, the candidates kept and returned for each image; None means ``beam_size``.
        constraints: For all images, or one for each.

    Returns:
        Up to K finished paths of each image, best first, and whether the first is certified.

    Raises:
        UsageError: If an option is out of range, constraints contradict each other, or the beam
            found no path that meets them.
        NonFiniteScoresError: If the model gives NaN or infinite scores.
    """
    num_paths = check_sizes(beam_size=beam_size, num_paths=num_paths)
    result = search_beams(step, state, start_tokens, num_labels, beam_size, num_paths, constraints)
    remedy = 'raise beam_size, loosen them or use best-first search'
    check_found(result.log_probs, result.lower, remedy)
    return as_normal_tensors(result)


def search_beams(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    beam_size: int,
    num_paths: int,
    constraints: Constraints | Sequence[Constraints] | None,
) -> SearchResult:
    """The search of :func:`beam_search`; images without a path, or with NaN, are in the result."""
    num_images, device = start_tokens.shape[0], start_tokens.device
    rules = Rules(constraints, num_images, num_labels, device)
    tokens, state = rules.feed_prefixes(step, state, start_tokens)
    tally = Tally(num_images, num_labels, device)
    history = BeamHistory(num_images, num_labels, num_paths, device)
    # Live prefixes of the images that still search.
    images = torch.arange(num_images, device=device)  # (A,)
    scores = torch.zeros((num_images, 1), device=device)  # (A, W)
    paths = torch.empty((num_images, 1, 0), device=device, dtype=torch.long)  # (A, W, T)

    for length in range(rules.max_length + 1):
        num_active, width = scores.shape
        log_probs, state = step(tokens, state)
        log_probs = log_probs.float().view(num_active, width, num_labels + 1)
        steps = log_probs[..., :num_labels].clone()  # (A, W, C)
        ends = log_probs[..., num_labels] + scores  # (A, W)
        del log_probs  # one tensor of this size fewer while the next ones are made
        hypotheses = Hypotheses(paths, length, images, rules.rows)
        rules.apply_(steps, ends, hypotheses)
        absent = scores == NEVER  # whatever the model says of prefixes that are not there
        ends.masked_fill_(absent, NEVER)
        steps.masked_fill_(absent.unsqueeze(-1), NEVER)
        children = steps + scores.unsqueeze(-1)  # (A, W, C)
        tally.add_steps(images, steps.amax(1))

        # Prefixes that end here, if END is one of their B best tokens. Compared into floats, which
        # on CPUs takes a fraction of what bools take; `steps` is used again as room for that.
        better = torch.gt(children, ends.unsqueeze(-1), out=steps).sum(-1)
        candidates = torch.where(better < beam_size, ends, NEVER)
        worst_kept = history.finish(candidates)  # (A,)
        tally.add_children(images, torch.exp(children, out=steps).sum(1))

        # Prefixes that go on, and the images whose best one can still beat a candidate.
        if rules.required is None:
            best, flat, lost = _best_children(children, beam_size)
            leading = best[:, 0]
        else:
            held = count_required(rules.required, hypotheses)
            adds = rules.required[rules.rows[images]]  # (A, C)
            best, flat, lost = _best_children_by_kind(children, beam_size, held, adds)
            leading = best.amax(1)
        history.end(images, ends, candidates, lost)
        going = leading > worst_kept
        num_going = int(going.sum())
        if num_going == 0:
            break
        # A finished image is dead: it stays in the way, without effect, until enough others are.
        keep = None
        if num_going < num_active:
            best = torch.where(going.unsqueeze(-1), best, NEVER)
        source = torch.arange(0, num_active * width, width, device=device)
        if num_going <= MOST_GOING * num_active:
            keep = going.nonzero().squeeze(-1)
            images, best, flat, paths, source = (
                part.index_select(0, keep) for part in (images, best, flat, paths, source)
            )
        history.grow(keep, flat, best)
        parents = flat.div(num_labels, rounding_mode='floor')  # (A', W'), the backpointers
        labels = flat % num_labels
        source = (source.unsqueeze(-1) + parents).view(-1)
        state = tuple(part.index_select(0, source) for part in state)
        scores, tokens = best, labels.view(-1)
        paths = paths.gather(1, parents.unsqueeze(-1).expand(-1, -1, length))
        paths = torch.cat([paths, labels.unsqueeze(-1)], -1)

    return history.result(tally, rules.prefixes)


def _best_children(children: Tensor, beam_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The B best expansions of each image.

    Returns:
        Log-probabilities (A, W'), their positions in (W * C) (A, W'), and the log-probability of
        the best expansion left out (A,).
    """
    flat_children = children.flatten(1)
    best, flat = flat_children.topk(min(beam_size + 1, flat_children.shape[1]))
    if best.shape[1] <= beam_size:
        return best, flat, torch.full_like(best[:, 0], NEVER)
    return best[:, :beam_size], flat[:, :beam_size], best[:, beam_size]


def _best_children_by_kind(
    children: Tensor, beam_size: int, held: Tensor, adds: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for each number of required labels held, side by side.

    Args:
        children: (A, W, C).
        beam_size: B of each kind.
        held: (A, W), how many required labels each prefix holds.
        adds: (A, C) bool, which labels are required.
    """
    kind = held.unsqueeze(-1) + adds.unsqueeze(1).long()  # (A, W, C)
    found = [
        _best_children(children.masked_fill(kind != number, NEVER), beam_size)
        for number in range(int(adds.sum(-1).max()) + 1)
    ]
    best, flat, lost = zip(*found, strict=True)
    return torch.cat(best, 1), torch.cat(flat, 1), torch.stack(lost).amax(0)


def check_sizes(beam_size: int = 1, num_paths: int | None = None, max_expansions: int = 1) -> int:
    """Check the sizes of a search.

    Args:
        beam_size: Of :func:`beam_search`.
        num_paths: Paths to keep; None for ``beam_size``.
        max_expansions: Of :func:`best_first_search`.

    Returns:
        The number of paths to keep.

    Raises:
        UsageError: If one of them is no whole number of at least 1.
    """
    if not _is_count(beam_size):
        raise UsageError(f'beam_size is {beam_size}: set it to 1 (greedy) or more')
    if num_paths is not None and not _is_count(num_paths):
        raise UsageError(f'num_paths is {num_paths}: set it to 1 or more')
    if not _is_count(max_expansions):
        raise UsageError(f'max_expansions is {max_expansions}: set it to 1 or more')
    return beam_size if num_paths is None else num_paths


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
