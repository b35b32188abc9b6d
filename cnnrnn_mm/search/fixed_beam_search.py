# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search as one straight run of tensor operations, for models that are exported.

Axis letters: N images, C labels, V = C + 1 (labels and END), B beams, W live prefixes of an image,
K paths kept, L labels that a path may have, T labels in the prefixes so far, P of the given prefix.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import UsageError
from .beam_search import check_sizes
from .constraints import Constraints
from .rules import Hypotheses, Rules, count_required
from .types import NEVER, SearchResult, State, StepFunction

__all__ = ['FixedBeamSearch']


class _Length(NamedTuple):
    """What the prefixes of one length leave behind."""

    paths: Tensor  # (N, W, T)
    totals: Tensor  # (N, W, T), log-probabilities up to each label
    scores: Tensor  # (N, W), log-probabilities, -inf for those that are not there
    ends: Tensor  # (N, W), followed by END
    candidates: Tensor  # (N, W), the same where that made a candidate, else -inf
    mass: Tensor  # (N, C), probabilities of each label coming next
    largest: Tensor  # (N, C), the largest log-probability of a step
    lost: Tensor  # (N,), the most probable path or prefix dropped


class FixedBeamSearch:
    """:func:`~cnnrnn_mm.search.beam_search` that takes the same steps whatever the images hold.

    Shapes depend on nothing but N, and no value is looked at outside of tensors: no image leaves
    the batch, finished ones merely have nothing to expand, and the search goes on to its last
    length. That is what ``torch.export`` can follow. The result is that of ``beam_search`` with the
    same constraints and a ``max_length`` of at most L, but ``paths`` and ``totals`` are always L
    wide, and nothing is raised: where an image has no path its ``log_probs`` are -inf, and NaN
    where the model gave NaN.

    Args:
        num_labels: C.
        max_labels: L, a given prefix included; above C means C.
        beam_size: B.
        num_paths: K; None means ``beam_size``.
        constraints: For all images.
        device: Where the search runs.

    Attributes:
        max_labels: L.

    Raises:
        UsageError: If an option is out of range, or L leaves no room for the constraints.
    """

    def __init__(
        self,
        num_labels: int,
        max_labels: int,
        beam_size: int = 5,
        num_paths: int | None = None,
        constraints: Constraints | None = None,
        device: torch.device | str = 'cpu',
    ) -> None:
        if max_labels < 1:
            raise UsageError(f'max_labels is {max_labels}: set it to 1 or more')
        self.num_labels, self.beam_size = num_labels, beam_size
        self.num_paths = check_sizes(beam_size=beam_size, num_paths=num_paths)
        limits = Constraints() if constraints is None else constraints
        self.max_labels = min(max_labels, limits.most_labels(num_labels))
        limits = limits.merged(max_length=self.max_labels)
        # The rules of one image; its masks are broadcast to the others.
        self.rules = Rules(limits, 1, num_labels, torch.device(device))
        self._row = self.rules.rows  # (1,)
        self._num_kinds = 1 + len({*limits.required} - {*limits.prefix})
        self._prefix = torch.tensor(limits.prefix, dtype=torch.long, device=device)  # (P,)
        self._given = torch.zeros(num_labels, dtype=torch.bool, device=device)  # (C,)
        self._given[self._prefix] = True

    def __call__(self, step: StepFunction, state: State, start_tokens: Tensor) -> SearchResult:
        """Search N images.

        Args:
            step: As in ``beam_search``.
            state: Likewise, the state before the first step.
            start_tokens: (N,) int64, what ``step`` is fed first.
        """
        tokens = start_tokens
        for label in self.rules.prefixes[0]:
            _, state = step(tokens, state)
            tokens = torch.full_like(tokens, label)
        num_images = tokens.shape[0]  # len() would make it a number that export takes for fixed
        scores = torch.zeros((num_images, 1), device=tokens.device)  # (N, W)
        paths, totals = tokens.new_zeros((num_images, 1, 0)), scores.new_zeros((num_images, 1, 0))
        kept = scores[:, :0]  # (N, up to K)
        lengths: list[_Length] = []

        for length in range(self.rules.max_length + 1):
            width = scores.shape[1]
            log_probs, state = step(tokens, state)
            log_probs = log_probs.float().view(-1, width, self.num_labels + 1)
            steps = log_probs[..., : self.num_labels].clone()  # (N, W, C)
            ends = log_probs[..., self.num_labels] + scores  # (N, W)
            hypotheses = Hypotheses(paths, length, self._row, self._row)
            self.rules.apply_(steps, ends, hypotheses)
            absent = scores == NEVER
            ends = ends.masked_fill(absent, NEVER)
            steps = steps.masked_fill(absent.unsqueeze(-1), NEVER)
            children = steps + scores.unsqueeze(-1)  # (N, W, C)

            better = (children > ends.unsqueeze(-1)).sum(-1)
            candidates = torch.where(better < self.beam_size, ends, NEVER)
            kept = torch.cat([kept, candidates], 1)
            kept = kept.topk(min(self.num_paths, kept.shape[1])).values
            worst_kept = torch.where(kept == NEVER, kept[:, :1], kept).amin(1)
            best, flat, lost = self._best_children(children, hypotheses)
            lost = torch.maximum(lost, ends.masked_fill(candidates > NEVER, NEVER).amax(1))
            mass, largest = children.exp().sum(1), steps.amax(1)
            lengths.append(_Length(paths, totals, scores, ends, candidates, mass, largest, lost))
            if length == self.rules.max_length:
                break

            going = best.amax(1) > worst_kept  # once False it stays so: nothing is left to beat it
            scores = torch.where(going.unsqueeze(-1), best, NEVER)  # (N, W')
            parents = flat.div(self.num_labels, rounding_mode='floor')
            labels = flat % self.num_labels
            source = torch.arange(num_images, device=tokens.device).unsqueeze(-1) * width + parents
            state = tuple(part.index_select(0, source.flatten()) for part in state)
            tokens = labels.flatten()
            paths = _extend(paths, parents, labels)
            totals = _extend(totals, parents, scores)
        return self._result(lengths)

    def _best_children(
        self, children: Tensor, hypotheses: Hypotheses
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The B best of (N, W, C), B for each number of required labels held.

        Returns:
            Log-probabilities (N, W'), places in (W * C) (N, W'), and the best one left out (N,).
        """
        required = self.rules.required
        if required is None:
            return _best(children, self.beam_size)
        held = count_required(required, hypotheses)
        kind = held.unsqueeze(-1) + required.long().unsqueeze(0)  # (N, W, C)
        found = [
            _best(children.masked_fill(kind != number, NEVER), self.beam_size)
            for number in range(self._num_kinds)
        ]
        best, flat, lost = zip(*found, strict=True)
        return torch.cat(best, 1), torch.cat(flat, 1), torch.stack(lost).amax(0)

    def _result(self, lengths: list[_Length]) -> SearchResult:
        """The best candidates of all lengths, and the bounds, from S prefixes of an image."""
        room = self.rules.max_length
        wide = [(0, room - one.paths.shape[-1]) for one in lengths]
        paths = [pad(one.paths, by, value=-1) for one, by in zip(lengths, wide, strict=True)]
        totals = [pad(one.totals, by) for one, by in zip(lengths, wide, strict=True)]
        paths, totals = torch.cat(paths, 1), torch.cat(totals, 1)  # (N, S, room)
        # Tally's bounds, with what ends known for whole paths at once.
        mass = torch.cat([one.ends for one in lengths], 1).exp()  # (N, S)
        labels = torch.where(paths < 0, self.num_labels, paths).flatten(1)
        ended_with = mass.new_zeros((mass.shape[0], self.num_labels + 1)).scatter_add(
            1, labels, mass.unsqueeze(-1).expand_as(paths).flatten(1)
        )
        without = mass.sum(1, keepdim=True) - ended_with[:, : self.num_labels]
        lower = torch.stack([one.mass for one in lengths]).sum(0).clamp(0.0, 1.0)
        upper = torch.maximum(1.0 - without, lower).clamp(0.0, 1.0)

        candidates = torch.cat([one.candidates for one in lengths], 1)
        candidates = pad(candidates, (0, max(self.num_paths - candidates.shape[1], 0)), value=NEVER)
        log_probs, at = candidates.topk(self.num_paths)  # (N, K)
        missing = (log_probs == NEVER).unsqueeze(-1)
        at = at.masked_fill(missing.squeeze(-1), 0).unsqueeze(-1).expand(-1, -1, room)
        paths = paths.gather(1, at).masked_fill(missing, -1)
        totals = torch.where(paths < 0, log_probs.unsqueeze(-1), totals.gather(1, at))
        result = SearchResult(
            paths=paths,
            lengths=(paths >= 0).sum(-1),
            log_probs=log_probs,
            totals=totals,
            lower=lower,
            upper=upper,
            largest=torch.stack([one.largest for one in lengths]).amax(0).exp(),
            rest=torch.stack([one.lost for one in lengths]).amax(0),
            expansions=torch.cat([one.scores for one in lengths], 1).gt(NEVER).sum(1),
        )
        return self._with_prefix(result) if self._prefix.shape[0] else result

    def _with_prefix(self, result: SearchResult) -> SearchResult:
        """The given labels in front of the paths."""
        missing = (result.log_probs == NEVER).unsqueeze(-1)  # (N, K, 1)
        front = torch.where(missing, -1, self._prefix)  # (N, K, P)
        return replace(
            result,
            paths=torch.cat([front, result.paths], -1),
            totals=torch.cat([torch.where(front < 0, NEVER, 0.0), result.totals], -1),
            lengths=result.lengths + (front >= 0).sum(-1),
            lower=torch.where(self._given, 1.0, result.lower),
            upper=torch.where(self._given, 1.0, result.upper),
        )


def _best(children: Tensor, beam_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The B best of (N, W, C) as in :meth:`FixedBeamSearch._best_children`, of one kind."""
    flat = children.flatten(1)
    best, places = flat.topk(min(beam_size + 1, flat.shape[1]))
    if best.shape[1] <= beam_size:
        return best, places, torch.full_like(best[:, 0], NEVER)
    return best[:, :beam_size], places[:, :beam_size], best[:, beam_size]


def _extend(rows: Tensor, parents: Tensor, last: Tensor) -> Tensor:
    """Rows (N, W, T) of the parents (N, W'), each with one entry more."""
    last = last.unsqueeze(-1)
    if rows.shape[-1] == 0:  # runtimes of exported files stumble over an index without entries
        return last
    index = parents.unsqueeze(-1).expand(-1, -1, rows.shape[-1])
    return torch.cat([rows.gather(1, index), last], -1)
