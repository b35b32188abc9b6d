# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label paths drawn from the model under constraints.

Axis letters: N images, S samples of each, M distinct prefixes of a step, P samples still going, C
labels, V = C + 1 (labels and END).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UsageError
from .constraints import Constraints
from .path_samples import PathSamples
from .proposals import orders_of, propose, tokens_at
from .rules import Hypotheses, Rules
from .types import NEVER, NonFiniteScoresError, State, StepFunction

__all__ = ['sample_paths']

#: A step works on tables of M x V numbers of 8 bytes; images share a batch up to this many bytes.
STEP_BYTES = 2**26


@torch.no_grad()
def sample_paths(
    step: StepFunction,
    state: State,
    start_tokens: Tensor,
    num_labels: int,
    num_samples: int = 256,
    constraints: Constraints | Sequence[Constraints] | None = None,
    seed: int = 0,
) -> PathSamples:
    """Draw S label paths of each image by sequential importance sampling.

    At each step the constraints mask what is not allowed, and what is drawn comes from the rest,
    normalised. A sample's weight is its probability, equation (6), divided by that of drawing it,
    so weighted averages converge to conditional expectations.

    For a model that names labels in one order, give that ``order``. Each step is then taken apart
    into a chain: is the first label next, if not, is the second one? What is known is not drawn,
    but answers itself, and the weight is the product of the probabilities of these answers. For a
    chain of sigmoids that is the probability that the labels known present are there and those
    known absent are not, each given the labels before it (likelihood weighting).

    Samples with the same prefix share one row of ``step``, and split among its tokens by stratified
    draws: n samples take one uniform number from each n-th of [0, 1). The numbers are drawn on the
    CPU and are the same for all images, so an image's samples depend neither on its batch nor on
    the device, but for rounding in ``step``.

    Args:
        step: The model: ``step(tokens (M,), state) -> (log_probs (M, V), state)``.
        state: The state before the first step, each tensor with first axis N.
        start_tokens: (N,) int64, what ``step`` is fed first.
        num_labels: C. Tokens 0..C-1 are labels, token C is END.
        num_samples: S >= 1.
        constraints: For all images, or one for each.
        seed: Of the uniform numbers.

    Returns:
        S weighted label sets of each image.

    Raises:
        UsageError: If an option is out of range, constraints contradict each other, or no sample of
            an image meets them.
        NonFiniteScoresError: If the model gives NaN or infinite scores.
    """
    if num_samples < 1:
        raise UsageError(f'num_samples is {num_samples}: set it to 1 or more')
    num_images, device = len(start_tokens), start_tokens.device
    Rules(constraints, num_images, num_labels, device)  # what is wrong with them, once for all
    sets = torch.zeros((num_images, num_samples, num_labels), dtype=torch.bool, device=device)
    log_weights = torch.full(sets.shape[:2], NEVER, dtype=torch.float64, device=device)
    expected = torch.zeros((num_images, num_labels), dtype=torch.float64, device=device)
    size = max(1, STEP_BYTES // (8 * num_samples * (num_labels + 1)))
    for first in range(0, num_images, size):
        part = slice(first, first + size)
        limits = constraints
        if constraints is not None and not isinstance(constraints, Constraints):
            limits = list(constraints[part])
        rules = Rules(limits, len(start_tokens[part]), num_labels, device)
        before = rules.feed_prefixes(step, tuple(one[part] for one in state), start_tokens[part])
        samples = PathSamples(sets[part], log_weights[part], expected[part])
        draws = torch.Generator().manual_seed(seed)
        broken = _draw_(step, *before, rules, orders_of(limits), samples, draws)
        if broken:
            raise NonFiniteScoresError([first + image for image in broken])
    lost = (log_weights == NEVER).all(-1).nonzero().flatten().tolist()
    if lost:
        raise UsageError(
            f'no label path drawn for image {lost[0]} of the batch ({len(lost)} such images), '
            'every one breaks a constraint or has probability 0: give the order of the labels if '
            'the model has one, raise num_samples or loosen the constraints'
        )
    return PathSamples(sets, log_weights, expected)


def _draw_(
    step: StepFunction,
    tokens: Tensor,
    state: State,
    rules: Rules,
    given_orders: list[Sequence[int] | None],
    samples: PathSamples,
    generator: torch.Generator,
) -> list[int]:
    """Write the samples of some images; return the images with NaN or infinite scores."""
    num_images, num_samples, num_labels = samples.sets.shape
    device = tokens.device
    sets, log_weights = samples.sets.view(-1, num_labels), samples.log_weights.view(-1)
    orders = list(dict.fromkeys(given_orders))
    order_of = torch.tensor([orders.index(one) for one in given_orders], device=device)
    order_of = order_of if len(given_orders) > 1 else order_of.expand(num_images)
    # Distinct prefixes, by image, and the samples at each, side by side.
    images = torch.arange(num_images, device=device)  # (M,)
    paths = torch.empty((num_images, 1, 0), dtype=torch.long, device=device)  # (M, 1, T)
    scores = torch.zeros(num_images, dtype=torch.float64, device=device)  # (M,), log weights
    counts = torch.full((num_images,), num_samples, device=device)  # (M,)
    going = torch.arange(num_images * num_samples, device=device)  # (P,)

    for length in range(rules.max_length + 1):
        log_probs, state = step(tokens, state)
        log_probs = log_probs.float()  # (M, V)
        broken = ~(log_probs.amax(-1) < torch.inf)
        if bool(broken.any()):
            return images[broken].unique().tolist()
        allowed = log_probs.clone()
        labels, ends = allowed[:, :num_labels].unsqueeze(1), allowed[:, num_labels:]
        rules.apply_(labels, ends, Hypotheses(paths, length, images, rules.rows))
        probs = propose(log_probs, allowed, orders, order_of[images])
        alive = probs.amax(-1) > 0  # (M,)
        visits = (probs[:, :num_labels] * (counts / num_samples).unsqueeze(-1)).double()
        samples.expected.index_add_(0, images, visits)
        del visits, allowed, labels, ends

        node = torch.repeat_interleave(counts)  # (P,), the prefix of each sample
        uniform = torch.rand(num_samples, generator=generator, dtype=torch.float64).to(device)
        rank = torch.arange(len(node), device=device) - (counts.cumsum(0) - counts)[node]
        uniform = (uniform[going % num_samples] + rank) / counts[node]
        drawn = tokens_at(probs, node, uniform)  # (P,)
        # Strata ascend, and so do the tokens drawn after a prefix: equal ones stand side by side.
        keys, place, counts = torch.unique_consecutive(
            node * (num_labels + 1) + drawn, return_inverse=True, return_counts=True
        )
        parents, tokens = keys.div(num_labels + 1, rounding_mode='floor'), keys % (num_labels + 1)
        weight = log_probs[parents, tokens].double() - probs[parents, tokens].double().log()
        scores = torch.where(alive[parents], scores[parents] + weight, NEVER)
        ended = drawn == num_labels
        log_weights[going[ended]] = scores[place[ended]]
        goes_on = (~ended) & alive[node]
        going, drawn = going[goes_on], drawn[goes_on]
        keep = (tokens < num_labels) & alive[parents]
        if len(going) == 0:
            break
        sets[going, drawn] = True
        tokens, parents, counts, scores = tokens[keep], parents[keep], counts[keep], scores[keep]
        state = tuple(part.index_select(0, parents) for part in state)
        images = images[parents]
        paths = torch.cat([paths[parents], tokens.view(-1, 1, 1)], -1)

    for image, prefix in enumerate(rules.prefixes):
        samples.sets[image, :, list(prefix)] = True
        samples.expected[image, list(prefix)] = 1.0
    return []
