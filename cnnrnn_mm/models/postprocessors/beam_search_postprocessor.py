# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...registry import MODELS
from ...search import (
    Constraints,
    SearchResult,
    State,
    StepFunction,
    beam_search,
    check_sizes,
)
from .path_postprocessor import PathPostprocessor

__all__ = ['BeamSearchPostprocessor']


@MODELS.register_module()
class BeamSearchPostprocessor(PathPostprocessor):
    """Decode by beam search, section 3.3 of the CNN-RNN paper.

    What each sample gets is in :class:`PathPostprocessor`, how the search goes in
    :func:`cnnrnn_mm.search.beam_search`.

    Args:
        num_classes: C. The head fills it in.
        beam_size: B; 1 is greedy decoding.
        num_paths: K, paths kept for each image; None means ``beam_size``.
        **kwargs: Passed on to :class:`PathPostprocessor`.

    Raises:
        UsageError: If the options contradict each other.
    """

    def __init__(
        self,
        num_classes: int,
        beam_size: int = 5,
        num_paths: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.options: dict[str, Any] = dict(beam_size=beam_size, num_paths=num_paths)
        check_sizes(**self.options)

    def search(
        self,
        step: StepFunction,
        state: State,
        start: Tensor,
        constraints: Constraints | Sequence[Constraints],
    ) -> SearchResult:
        """See the class."""
        return beam_search(
            step,
            state,
            start,
            self.vocabulary.num_classes,
            constraints=constraints,
            **self.options,
        )
