# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From a search to what a data sample holds.

Axis letters: N images, C labels, B beams, K paths kept.
"""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample

from ...registry import MODELS
from ...search import SearchResult, State, StepFunction, beam_search, check_options
from ..vocabulary import Vocabulary

__all__ = ['BeamSearchPostprocessor']


@MODELS.register_module()
class BeamSearchPostprocessor:
    """Decode label paths by beam search and write them into data samples.

    Each sample gets:

    - ``pred_label`` (n,) int64: the labels of the best path, in path order; may be empty.
    - ``pred_score`` (C,) in [0, 1]: for each label the probability, summed over all prefixes the
      search expanded, that the label comes next. A path reaches a label after exactly one prefix,
      so the sum is a lower bound on P(label in path), and it ranks every label, those of no path
      too. This is the score for average precision.
    - ``pred_paths``: up to K label lists, the most probable first.
    - ``pred_path_log_probs`` (K',): natural log of P(path, END given image) for each of them.
    - ``pred_step_log_probs`` (n + 1,): natural log of each step's probability along the best path;
      the last is END's.

    An image's result does not depend on the other images of its batch.

    Args:
        num_classes: C. The head fills it in.
        beam_size: B; 1 is greedy decoding.
        min_length: Least number of labels in a path.
        max_length: Most labels in a path; None for no limit but C.
        num_paths: K, paths kept for each image; None means ``beam_size``.

    Raises:
        UsageError: If the options contradict each other.
    """

    def __init__(
        self,
        num_classes: int,
        beam_size: int = 5,
        min_length: int = 0,
        max_length: int | None = None,
        num_paths: int | None = None,
    ) -> None:
        self.vocabulary = Vocabulary(num_classes)
        self.options = dict(
            beam_size=beam_size, min_length=min_length, max_length=max_length, num_paths=num_paths
        )
        check_options(num_classes, **self.options)  # now, not at the first validation

    def __call__(
        self,
        step: StepFunction,
        state: State,
        data_samples: Sequence[DataSample | None] | None = None,
    ) -> list[DataSample]:
        """Decode N images.

        Args:
            step: ``(tokens (M,), state) -> (log_probs (M, C + 1), state)``.
            state: The state before the first step, each tensor with first axis N and at least one.
            data_samples: N samples to write into; None, or None entries, make new ones.

        Returns:
            The N samples.
        """
        start = torch.full((len(state[0]),), self.vocabulary.start, device=state[0].device)
        result = beam_search(step, state, start, self.vocabulary.num_classes, **self.options)
        if data_samples is None:
            data_samples = [None] * len(start)
        samples = [DataSample() if sample is None else sample for sample in data_samples]
        self._write(result, samples)
        return samples

    @staticmethod
    def _write(result: SearchResult, samples: Sequence[DataSample]) -> None:
        """Copy the result to the host once, then hand out plain slices."""
        paths, lengths = result.paths.tolist(), result.lengths.tolist()
        counts = result.log_probs.isfinite().sum(-1).tolist()
        for index, sample in enumerate(samples):
            count, best = counts[index], lengths[index][0]
            sample.set_pred_label(result.paths[index, 0, :best])
            sample.set_pred_score(result.marginals[index])
            sample.set_field(
                [paths[index][k][: lengths[index][k]] for k in range(count)], 'pred_paths'
            )
            sample.set_field(result.log_probs[index, :count], 'pred_path_log_probs')
            sample.set_field(result.step_log_probs[index, 0, : best + 1], 'pred_step_log_probs')
