# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Best-first search over label paths, batched over images: the provably most probable path.

Axis letters: N images, C labels, V = C + 1 (labels and END), K paths kept, M prefixes expanded at
once, L labels of the longest path kept.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from .beam_search import check_sizes, search_beams
from .constraints import Constraints
from .expanded_prefixes import ExpandedPrefixes, Prefixes
from .growing import group_rows
from .open_prefixes import OpenPrefixes
from .results import finished_result
from .rules import Hypotheses, Rules
from .tally import Tally
from .types import NEVER, SearchResult, State, StepFunction, as_normal_tensors, check_found

__all__ = ['best_first_search']

#: Most prefixes of an image that are expanded in one round.
WIDEST_ROUND = 256
#: Most scores that a single step gives, M * V: 64 MiB.
LARGEST_STEP = 2**24
#: Beams for an image that has no path when its budget is spent.
SPARE_BEAM = 5


@torch.inference_mode()
def best_first_search(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    num_paths: int = 1,
    max_expansions: int = 20_000,
    constraints: Constraints | Sequence[Constraints] | None = None,
) -> SearchResult:
    """Find the ``num_paths`` most probable label paths of each image, and prove it.

    Step log-probabilities are never above 0, so a prefix is at least as probable as any path it
    grows into: 0 is an admissible estimate of what is still to come. The most probable open
    prefixes are expanded first, and an image is finished when none of them is more probable than
    the worst path kept. Rounds expand 1, 2, 4, ... up to 256 prefixes of each image at once; the
    few that turn out not to have been needed cost less than as many small steps.

    Where ``max_expansions`` prefixes of an image have been expanded without a proof, ``proven`` is
    False and ``gaps`` says by how much a better path could be better. An image that then has no
    path at all gets those of a beam search of width 5.

    The search holds on to the state of every prefix it expanded, so its memory grows with the
    expansions.

    Args:
        step: The model: ``step(tokens (M,), state) -> (log_probs (M, V), state)``.
        state: The state before the first step, each tensor with first axis N.
        start_tokens: (N,) int64, what ``step`` is fed first.
        num_labels: C. Tokens 0..C-1 are labels, token C is END.
        num_paths: K. More than one takes more expansions.
        max_expansions: Most prefixes to expand for an image.
        constraints: For all images, or one for each.

    Returns:
        Up to K finished paths of each image, best first. An image's result does not depend on the
        others.

    Raises:
        UsageError: If an option is out of range, constraints contradict each other, or no path
            meets them.
        NonFiniteScoresError: If the model gives NaN or infinite scores.
    """
    check_sizes(num_paths=num_paths, max_expansions=max_expansions)
    num_images, device = len(start_tokens), start_tokens.device
    rules = Rules(constraints, num_images, num_labels, device)
    tokens, after = rules.feed_prefixes(step, state, start_tokens)
    tally = Tally(num_images, num_labels, device)
    kept = torch.full((num_images, num_paths), NEVER, device=device)
    kept_at = torch.zeros((num_images, num_paths), dtype=torch.long, device=device)
    expanded = ExpandedPrefixes(after, device)
    open_prefixes = OpenPrefixes(num_images, max_expansions - 1, device)
    prefixes, width = Prefixes.roots(num_images, device), 2
    chunk = max(LARGEST_STEP // (num_labels + 1), 1)

    while len(tokens) > 0:
        for start in range(0, len(tokens), chunk):
            few, stop = prefixes.part(start, start + chunk), start + chunk
            log_probs, following = step(tokens[start:stop], tuple(p[start:stop] for p in after))
            numbers = expanded.add(few, following)
            log_probs = log_probs.float()
            steps = log_probs[:, :num_labels].clone()  # (M, C)
            ends = log_probs[:, num_labels] + few.scores  # (M,)
            hypotheses = Hypotheses(
                few.paths.unsqueeze(1), few.lengths.unsqueeze(1), few.images, rules.rows
            )
            rules.apply_(steps.unsqueeze(1), ends.unsqueeze(1), hypotheses)
            tally.add_steps(few.images, steps)
            children = steps.add_(few.scores.unsqueeze(-1))
            tally.add_expansions(few.images, few.scores.unsqueeze(1))
            tally.add_children(few.images, children.exp())
            mass = ends.exp()
            tally.add_ends(few.images, mass)
            held = few.masked_paths(num_labels)  # (M, T)
            tally.add_ends_with(few.images, held, mass.unsqueeze(1).expand_as(held))
            kept, kept_at = _keep_best(kept, kept_at, few.images, ends, numbers)
            open_prefixes.add(few.images, numbers, children, kept[:, -1])
        images, parents, tokens, scores = open_prefixes.take(width, kept[:, -1])
        if len(tokens) > 0:
            prefixes = expanded.longer(images, parents, tokens, scores)
            after = expanded.state(parents)
            width = min(2 * width, WIDEST_ROUND)

    # What was never opened is not more probable than the worst path kept.
    rest = torch.maximum(open_prefixes.rest, kept[:, -1])
    paths = expanded.read_paths(kept_at)
    result = finished_result(*paths, kept, rest, tally, rules.prefixes)
    lost = (kept[:, 0] == NEVER) & (open_prefixes.rest > NEVER) & tally.lower.isfinite().all(1)
    if bool(lost.any()):
        rows = lost.nonzero().squeeze(-1)
        if constraints is not None and not isinstance(constraints, Constraints):
            constraints = [constraints[row] for row in rows.tolist()]
        spare = search_beams(
            step,
            tuple(part[rows] for part in state),
            start_tokens[rows],
            num_labels,
            SPARE_BEAM,
            num_paths,
            constraints,
        )
        result = _put_paths(result, rows, spare)
    check_found(result.log_probs, result.lower, 'loosen them')
    return as_normal_tensors(result)


def _keep_best(
    kept: Tensor, kept_at: Tensor, images: Tensor, ends: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Merge the prefixes that end, each (M,), into the K best of each image, each (N, K)."""
    scores, places = group_rows(images, len(kept), (ends, NEVER), (numbers, 0))
    merged, pick = torch.cat([kept, scores], 1).topk(kept.shape[1])
    return merged, torch.cat([kept_at, places], 1).gather(1, pick)


def _put_paths(result: SearchResult, rows: Tensor, other: SearchResult) -> SearchResult:
    """Put the paths of another search of the images ``rows`` in; ``rest`` and counts stay.

    Of the bounds the tighter ones are taken; NaN stays NaN.
    """
    longest = max(result.paths.shape[-1], other.paths.shape[-1])
    paths, totals = [], []
    for one in (result, other):
        missing = longest - one.paths.shape[-1]
        paths.append(pad(one.paths, (0, missing), value=-1))
        whole = one.log_probs.unsqueeze(-1).expand(-1, -1, missing)
        totals.append(torch.cat([one.totals, whole], -1))

    def put(here: Tensor, there: Tensor) -> Tensor:
        return here.index_copy(0, rows, there)

    return replace(
        result,
        paths=put(*paths),
        totals=put(*totals),
        lengths=put(result.lengths, other.lengths),
        log_probs=put(result.log_probs, other.log_probs),
        lower=put(result.lower, torch.maximum(result.lower[rows], other.lower)),
        upper=put(result.upper, torch.minimum(result.upper[rows], other.upper)),
        largest=put(result.largest, torch.maximum(result.largest[rows], other.largest)),
    )
