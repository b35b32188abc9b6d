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
    best_first_search,
    check_sizes,
)
from .path_postprocessor import PathPostprocessor

__all__ = ['BestFirstPostprocessor']


@MODELS.register_module()
class BestFirstPostprocessor(PathPostprocessor):
    """Decode by best-first search: the provably most probable paths.

    What each sample gets is in :class:`PathPostprocessor`, how the search goes in
    :func:`cnnrnn_mm.search.best_first_search`.

    Args:
        num_classes: C. The head fills it in.
        num_paths: K, paths to find and prove for each image; more than one takes more expansions.
        max_expansions: Most prefixes to expand for an image; beyond them ``pred_proven`` is False.
        **kwargs: Passed on to :class:`PathPostprocessor`.

    Raises:
        UsageError: If the options contradict each other.
    """

    revisits = True

    def __init__(
        self,
        num_classes: int,
        num_paths: int = 1,
        max_expansions: int = 20_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.options = dict(num_paths=num_paths, max_expansions=max_expansions)
        check_sizes(**self.options)

    def search(
        self,
        step: StepFunction,
        state: State,
        start: Tensor,
        constraints: Constraints | Sequence[Constraints],
    ) -> SearchResult:
        """See the class."""
        return best_first_search(
            step,
            state,
            start,
            self.vocabulary.num_classes,
            constraints=constraints,
            **self.options,
        )
