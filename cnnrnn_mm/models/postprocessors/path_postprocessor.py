# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a search to what a data sample holds.

Axis letters: N images, C labels, K paths kept.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS, SCOPE
from ...search import (
    Constraints,
    NonFiniteScoresError,
    PathSamples,
    SearchResult,
    State,
    StepFunction,
    sample_paths,
    set_log_probs,
)
from ..vocabulary import NO_SINGLE_ORDER, Vocabulary
from .decisions import Decoded
from .path_fields import label_scores, write_samples

__all__ = ['PathPostprocessor']

#: Stands for the order that the checkpoint was trained with.
TRAINING = 'training'


class PathPostprocessor(ABC):
    """Decode label paths and write them into data samples; a subclass says how to search.

    Each sample gets:

    - ``pred_label`` (n,) int64: the answer, as ``decision`` says: by default the labels of the best
      path, in path order; may be empty.
    - ``pred_score`` (C,) in [0, 1]: for each label an estimate of the probability that it is in the
      label set, for average precision; see docs/scores.md. Labels that constraints forbid have 0,
      required and given ones 1.
    - ``pred_score_lower``, ``pred_score_upper`` (C,): certified bounds of that probability,
      whatever the constraints are, for the given prefix.
    - ``pred_paths``: up to K label lists, the most probable first.
    - ``pred_path_log_probs`` (K',): natural log of P(path, END given image) for each of them.
    - ``pred_step_log_probs`` (length + 1,): natural log of each step's probability along the best
      path; the last is END's, those of a given prefix are 0.
    - ``pred_proven`` bool: the best path is certified to be the most probable one allowed.
    - ``pred_gap``: where it is not, a better path is better by at most this, in natural log.
    - ``pred_set_log_prob_lower``, ``pred_set_log_prob_upper``, where asked for: bounds of the
      natural log of P(label set of the best path), the sum over its orders; equal up to six labels.

    An image's result does not depend on the other images of its batch.

    Args:
        num_classes: C. The head fills it in.
        constraints: Arguments of :class:`cnnrnn_mm.search.Constraints`, for all images. ``order``
            may be ``'training'``: the order that the checkpoint was trained with.
        set_log_prob: Also give the probability of the predicted label set.
        marginal_share: In [0, 1], the share of the marginal branch's probability in ``pred_score``;
            the rest is the estimate from paths. The bounds are those of the paths alone.
        decision: Config of what ``pred_label`` is: ``PathDecision``, ``ThresholdDecision`` or
            ``ExpectedF1Decision``; see docs/decisions.md.
        end_bias: Added to the log-odds of END at every step: above 0 for shorter paths, below for
            longer ones, where the model ends too late or too early. Everything here is then about
            the model so changed.

    Raises:
        UsageError: If the options contradict each other.
    """

    #: Whether the search comes back to prefixes of earlier steps.
    revisits = False

    def __init__(
        self,
        num_classes: int,
        constraints: Mapping | Constraints | None = None,
        set_log_prob: bool = False,
        marginal_share: float = 0.0,
        decision: dict | None = None,
        end_bias: float = 0.0,
    ) -> None:
        if not 0 <= marginal_share <= 1:
            raise UsageError(f'marginal_share is {marginal_share}: set it to a value in [0, 1]')
        if not math.isfinite(end_bias):
            raise UsageError(f'end_bias is {end_bias}: set it to a finite number')
        self.marginal_share, self.end_bias = marginal_share, end_bias
        self.decision = MODELS.build({'type': 'PathDecision', '_scope_': SCOPE, **(decision or {})})
        self.vocabulary = Vocabulary(num_classes)
        self.set_log_prob = set_log_prob
        if isinstance(constraints, Constraints):
            constraints = vars(constraints)
        constraints = dict(constraints or {})
        order = constraints.get('order')
        self._takes_training_order = isinstance(order, str) and order == TRAINING
        self._order_is_missing = self._takes_training_order
        if self._takes_training_order:
            del constraints['order']
        self.constraints = Constraints().merged(**constraints)
        self.constraints.check(num_classes)  # now, not at the first validation

    @abstractmethod
    def search(
        self,
        step: StepFunction,
        state: State,
        start: Tensor,
        constraints: Constraints | Sequence[Constraints],
    ) -> SearchResult:
        """Search N images under ``constraints``, one for all or one for each."""

    def set_training_order(self, name: str, order: Sequence[int]) -> None:
        """Give what ``order='training'`` stands for; without effect where that is not asked for.

        Args:
            name: What the order is called.
            order: All class ids.

        Raises:
            UsageError: If there is no single order, or it does not list all classes.
        """
        if not self._takes_training_order:
            return
        if name in NO_SINGLE_ORDER:
            raise UsageError(
                f"constraints have order='training', but the training order is '{name}', a new one "
                'for each image: leave order out of the constraints'
            )
        self.constraints = self.constraints.merged(order=order)
        self.constraints.check(self.vocabulary.num_classes)
        self._order_is_missing = False

    def __call__(
        self,
        step: StepFunction,
        state: State,
        data_samples: Sequence[DataSample | None] | None = None,
        constraints: Mapping | Constraints | Sequence[Mapping | Constraints | None] | None = None,
        marginals: Tensor | None = None,
        marginal_share: float | Tensor | None = None,
    ) -> list[DataSample]:
        """Decode N images.

        Args:
            step: ``(tokens (M,), state) -> (log_probs (M, C + 1), state)``.
            state: The state before the first step, each tensor with first axis N and at least one.
            data_samples: N samples to write into; None, or None entries, make new ones.
            constraints: For this call, one for all images or one for each: mappings are added to
                the constraints of the config, :class:`Constraints` replace them.
            marginals: (N, C) in [0, 1], the probabilities of a marginal branch, if there is one.
            marginal_share: Their share in ``pred_score`` for this call, one for all labels or (C,);
                None for that of the config.

        Returns:
            The N samples.
        """
        if self._order_is_missing:
            raise UsageError(
                "constraints have order='training', but no order came with the checkpoint: train "
                'with LabelOrderHook among the default_hooks, or list the class ids as order'
            )
        start = torch.full((len(state[0]),), self.vocabulary.start, device=state[0].device)
        data_samples = [None] * len(start) if data_samples is None else data_samples
        limits = self._limits(constraints)
        share = self.marginal_share if marginal_share is None else marginal_share
        if self.end_bias:
            step = self._bias_end(step)

        def draw(num_samples: int, seed: int) -> PathSamples:
            num_classes = self.vocabulary.num_classes
            return sample_paths(step, state, start, num_classes, num_samples, limits, seed)

        try:
            result = self.search(step, state, start, limits)
            sets = self._set_bounds(step, state, start, result, limits)
            scores = self._scores(result, limits, marginals, share)
            labels = self.decision(Decoded(result, scores, draw))
        except NonFiniteScoresError as error:
            path = getattr(data_samples[error.images[0]], 'img_path', None)
            raise NonFiniteScoresError(error.images, path) from None
        samples = [DataSample() if sample is None else sample for sample in data_samples]
        write_samples(samples, result, labels, scores, sets)
        return samples

    def _limits(
        self, constraints: Mapping | Constraints | Sequence[Mapping | Constraints | None] | None
    ) -> Constraints | list[Constraints]:
        """The constraints of a call."""
        if isinstance(constraints, Sequence) and not isinstance(constraints, str):
            return [self._limits_of_one(one) for one in constraints]
        return self._limits_of_one(constraints)

    def _limits_of_one(self, constraints: Mapping | Constraints | None) -> Constraints:
        """The constraints of one image, or those for all."""
        if constraints is None:
            return self.constraints
        if isinstance(constraints, Constraints):
            return constraints
        if isinstance(constraints, Mapping):
            return self.constraints.merged(**constraints)
        raise UsageError(
            f'constraints are {constraints!r}: give a mapping, Constraints, or a list of them'
        )

    def _set_bounds(
        self,
        step: StepFunction,
        state: State,
        start: Tensor,
        result: SearchResult,
        limits: Constraints | list[Constraints],
    ) -> tuple[Tensor, Tensor] | None:
        """Bounds of the predicted sets' log-probabilities, or None."""
        if not self.set_log_prob:
            return None
        sets = [
            path[:length]
            for path, length in zip(
                result.paths[:, 0].tolist(), result.lengths[:, 0].tolist(), strict=True
            )
        ]
        return set_log_probs(step, state, start, self.vocabulary.num_classes, sets, limits)

    def _scores(
        self,
        result: SearchResult,
        limits: Constraints | list[Constraints],
        marginals: Tensor | None,
        share: float | Tensor,
    ) -> Tensor:
        """``pred_score`` (N, C)."""
        scores = label_scores(result)
        if isinstance(share, Tensor) or share > 0:
            if marginals is None:
                raise UsageError(
                    f'marginal_share is {share}, and there is no marginal branch: set '
                    'marginal=dict() in the head, or leave the share at 0'
                )
            scores = torch.lerp(scores, marginals, share)
        each = [limits] * len(scores) if isinstance(limits, Constraints) else limits
        for row, one in enumerate(each):
            if one.forbidden:
                scores[row, list(one.forbidden)] = 0.0
            known = [*one.required, *one.prefix]
            if known:
                scores[row, known] = 1.0
        return scores

    def _bias_end(self, step: StepFunction) -> StepFunction:
        """The step of the model whose log-odds of END are changed."""
        end = self.vocabulary.end

        def biased(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            log_probs, state = step(tokens, state)
            log_probs = log_probs.clone()
            log_probs[:, end] += self.end_bias
            return log_probs.log_softmax(-1), state

        return biased
