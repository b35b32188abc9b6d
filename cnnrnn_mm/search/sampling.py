# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label paths drawn from the model under constraints.

Axis letters: N images, S samples of each, M distinct prefixes of a step, P samples still going, C
labels, V = C + 1 (labels and END).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from .constraints import Constraints
from .rules import Hypotheses, Rules
from .types import NEVER, NonFiniteScoresError, State, StepFunction

__all__ = ['PathSamples', 'sample_paths']

#: A step works on tables of M x V numbers of 8 bytes; images share a batch up to this many bytes.
STEP_BYTES = 2**26

#: Probabilities are drawn as multiples of this share: sums of whole numbers are exact on all
#: devices, and what has probability 0 is never drawn.
UNITS = 2**40

#: Log weights above minus this count as 0: all allowed, but for rounding.
ALL_ALLOWED = 1e-4


@dataclass(frozen=True)
class PathSamples:
    """Weighted samples of N images: averages under their weights estimate expectations.

    Expectations are under the model's distribution of paths that never name a label twice,
    conditional on the constraints. The samples of an image are drawn together so as to spread
    evenly, so they are not independent of each other, and their sequence means nothing.

    Attributes:
        sets: (N, S, C) bool, the labels of each path, a given prefix included.
        log_weights: (N, S) float64, natural log of the importance weights; -inf for a sample that
            ran into a dead end. Not above 0 where the model's steps sum to 1.
        expected: (N, C) float64, the mean over samples of the sum of p(label given prefix) over the
            prefixes that the sample went through; 1 for a given prefix.
    """

    sets: Tensor
    log_weights: Tensor
    expected: Tensor

    @property
    def weights(self) -> Tensor:
        """(N, S) float64, normalised: each row sums to 1."""
        return self.log_weights.softmax(-1)

    @property
    def effective_sizes(self) -> Tensor:
        """(N,) in [1, S], 1 / sum of squared weights: as many samples of equal weight (Kong)."""
        return 1.0 / self.weights.square().sum(-1)

    @property
    def log_evidence(self) -> Tensor:
        """(N,), natural log of the mean weight.

        The mean weight estimates, without bias, the probability that a path drawn from the model
        names no label twice and meets the constraints, given the prefix.
        """
        return self.log_weights.logsumexp(-1) - torch.tensor(float(self.sets.shape[1])).log()

    @property
    def unweighted(self) -> Tensor:
        """(N,) bool: the constraints left nothing out on any sample's way, all weights are 1."""
        return (self.log_weights > -ALL_ALLOWED).all(-1)

    def marginals(self, from_prefixes: bool | None = None) -> Tensor:
        """Estimate P(label in the path), conditional on the constraints.

        Either the weighted share of the samples that hold a label, or ``expected``, clamped to 1. A
        path names a label for the first time after exactly one prefix, and each prefix is visited
        with its own probability, so ``expected`` has no bias where all weights are 1. It gives rare
        labels a value other than 0, but scatters more where a label is all but certain.

        Args:
            from_prefixes: Take ``expected``. None takes it where it is valid, i.e. for images in
                ``unweighted``, for labels that less than half of the samples hold.

        Returns:
            (N, C) float64 in [0, 1].
        """
        # One matrix product an image: no float copy of all sets at once.
        pairs = zip(self.weights, self.sets, strict=True)
        shares = [weights @ sets.to(weights.dtype) for weights, sets in pairs]
        shares = torch.stack(shares) if shares else self.expected.clone()
        if from_prefixes is None:
            take = self.unweighted.unsqueeze(-1) & (shares < 0.5)
        else:
            take = torch.full_like(shares, from_prefixes, dtype=torch.bool)
        return torch.where(take, self.expected, shares).clamp(0.0, 1.0)


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
        broken = _draw_(step, *before, rules, _orders(limits), samples, draws)
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
    given_orders: list[tuple[int, ...] | None],
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
        probs = _proposal(log_probs, allowed, orders, order_of[images])
        alive = probs.amax(-1) > 0  # (M,)
        visits = (probs[:, :num_labels] * (counts / num_samples).unsqueeze(-1)).double()
        samples.expected.index_add_(0, images, visits)
        del visits, allowed, labels, ends

        node = torch.repeat_interleave(counts)  # (P,), the prefix of each sample
        uniform = torch.rand(num_samples, generator=generator, dtype=torch.float64).to(device)
        rank = torch.arange(len(node), device=device) - (counts.cumsum(0) - counts)[node]
        uniform = (uniform[going % num_samples] + rank) / counts[node]
        drawn = _tokens_at((probs * UNITS).long().cumsum_(-1), node, uniform)  # (P,)
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


def _orders(limits: Constraints | Sequence[Constraints] | None) -> list[tuple[int, ...] | None]:
    """The order of each image, or one for all."""
    if limits is None or isinstance(limits, Constraints):
        limits = [limits or Constraints()]
    return [one.order for one in limits]


def _proposal(
    log_probs: Tensor, allowed: Tensor, orders: list[tuple[int, ...] | None], order_of: Tensor
) -> Tensor:
    """What the next token is drawn from, (M, V); rows of zeros where nothing is allowed.

    Args:
        log_probs: (M, V), the model's.
        allowed: (M, V), the same with -inf where a constraint forbids to go on.
        orders: The orders there are; None for no order.
        order_of: (M,) int64, which of them holds for each prefix.
    """
    if len(orders) == 1:
        return _next(log_probs, allowed, orders[0])
    probs = torch.empty_like(log_probs)
    for index, order in enumerate(orders):
        rows = (order_of == index).nonzero().squeeze(-1)
        probs[rows] = _next(log_probs[rows], allowed[rows], order)
    return probs


def _next(log_probs: Tensor, allowed: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """:func:`_proposal` for one order."""
    if order is None:
        mass = allowed.logsumexp(-1, keepdim=True).clamp_(min=torch.finfo(allowed.dtype).min)
        return (allowed - mass).exp_()
    columns = torch.tensor([*order, len(order)], device=log_probs.device)
    probs = log_probs.index_select(1, columns).exp_()  # by place, END last
    left = probs.flip(-1).cumsum(-1).flip(-1)  # that it is this token or one behind
    behind = torch.cat([left[:, 1:], torch.zeros_like(left[:, :1])], -1)
    may = allowed.index_select(1, columns) > NEVER
    answers = may & (left > 0)  # the places whose answer is drawn
    passed = torch.where(answers, behind / left, 1.0).cumprod(-1)
    passed = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], -1)  # before this place
    found = torch.where(answers, passed * (probs / left), 0.0)
    # The last token allowed is the only one left when it is asked about.
    places = torch.arange(len(columns), device=may.device)
    last = torch.where(may, places, 0).amax(-1, keepdim=True)
    found.scatter_(1, last, torch.where(may, passed, 0.0).gather(1, last))
    return torch.empty_like(found).index_copy_(1, columns, found)


def _tokens_at(cumulated: Tensor, rows: Tensor, uniform: Tensor) -> Tensor:
    """The first token whose cumulated probability is above a uniform number, by bisection.

    Args:
        cumulated: (M, V) int64, in units of probability.
        rows: (P,) int64, which row each number is looked up in.
        uniform: (P,) float64 in [0, 1].
    """
    width = cumulated.shape[1]
    total = cumulated[:, -1][rows]
    goal = torch.minimum((uniform * total).long(), (total - 1).clamp(min=0))
    flat, start = cumulated.view(-1), rows * width
    low, high = torch.zeros_like(rows), torch.full_like(rows, width - 1)
    for _ in range((width - 1).bit_length()):
        middle = (low + high) // 2
        above = flat[start + middle] > goal
        high = torch.where(above, middle, high)
        low = torch.where(above, low, middle + 1).minimum(high)
    return high
