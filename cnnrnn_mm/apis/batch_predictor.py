# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Batches of photos through a model.

Axis letters: N photos of a batch.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample

from ..errors import UsageError
from ..models.postprocessors.path_postprocessor import PathPostprocessor
from ..search import NonFiniteScoresError
from .named_constraints import spread_constraints
from .photo_batches import PhotoBatch

__all__ = ['BatchPredictor', 'Limits']

#: Constraints of a call: one mapping for all photos, or one or None for each.
Limits = Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None


class BatchPredictor:
    """A model, and what can be asked of it. One thread at a time runs the model.

    Args:
        model: In evaluation mode.
        classes: Names by class id.
    """

    def __init__(self, model: BaseModel, classes: Sequence[str]) -> None:
        self.model, self.classes = model, tuple(classes)
        self.postprocessor: Any = getattr(getattr(model, 'head', None), 'postprocessor', None)
        self._lock = threading.Lock()

    @property
    def has_paths(self) -> bool:
        """Whether the head searches label paths, which constraints can limit."""
        return isinstance(self.postprocessor, PathPostprocessor)

    def constraints(self, given: Limits, count: int) -> list[dict[str, Any]] | None:
        """Constraints by class id for each of ``count`` photos; None where there are none.

        Raises:
            UsageError: If the head has no paths to constrain, or the constraints do not fit.
        """
        if given is None:
            return None
        if not self.has_paths:
            kind = type(getattr(self.model, 'head', self.model)).__name__
            raise UsageError(
                f'{kind} searches no label paths, so there is nothing to constrain: leave the '
                'constraints out, or use a model with a CNNRNNHead'
            )
        return spread_constraints(given, self.classes, self.postprocessor.constraints, count)

    @torch.no_grad()
    def __call__(
        self,
        batch: PhotoBatch,
        constraints: Sequence[dict[str, Any]] | None = None,
        set_prob: bool = True,
    ) -> list[DataSample | None]:
        """Predict.

        Args:
            batch: N photos. One for which the model gives NaN is entered among its errors.
            constraints: By class id, N of them.
            set_prob: Also give the probability of the label set.

        Returns:
            N samples, None for a photo that has an error.
        """
        samples: list[DataSample | None] = [None] * len(batch.rows)
        # In a canonical order a set has one path, and the search has its probability.
        one_path = self.has_paths and self.postprocessor.constraints.order is not None
        with self._lock, self._set_probability(set_prob and not one_path):
            for places, data in batch.groups:
                chosen = None if constraints is None else [constraints[one] for one in places]
                self._predict(batch, places, data, chosen, samples)
        if set_prob and one_path:
            for sample in samples:
                if sample is not None:
                    best = float(sample.pred_path_log_probs[0])
                    sample.set_field(best, 'pred_set_log_prob_lower')
                    sample.set_field(best, 'pred_set_log_prob_upper')
        return samples

    def _predict(
        self,
        batch: PhotoBatch,
        places: list[int],
        data: dict,
        constraints: list[dict] | None,
        samples: list[DataSample | None],
    ) -> None:
        """Fill in the samples of a group."""
        try:
            if constraints is None:
                found = self.model.test_step(data)
            else:
                ready = self.model.data_preprocessor(data, False)
                found = self.model.predict(**ready, constraints=constraints)
        except NonFiniteScoresError as error:
            for row in error.images:
                name = data['data_samples'][row].get('img_path')
                batch.errors[places[row]] = str(NonFiniteScoresError([row], name))
            rest = [row for row in range(len(places)) if row not in set(error.images)]
            if rest:
                inputs = data['inputs'][rest]
                left = dict(inputs=inputs, data_samples=[data['data_samples'][r] for r in rest])
                chosen = None if constraints is None else [constraints[row] for row in rest]
                self._predict(batch, [places[row] for row in rest], left, chosen, samples)
            return
        for place, sample in zip(places, found, strict=True):
            if not sample.pred_score.isfinite().all():
                name = sample.get('img_path')
                batch.errors[place] = f'the model gives scores of {name} that are no numbers'
                continue
            samples[place] = sample

    @contextmanager
    def _set_probability(self, wanted: bool) -> Iterator[None]:
        """Let the postprocessor give the set's probability, or not."""
        if not self.has_paths:
            yield
            return
        before, self.postprocessor.set_log_prob = self.postprocessor.set_log_prob, wanted
        try:
            yield
        finally:
            self.postprocessor.set_log_prob = before
