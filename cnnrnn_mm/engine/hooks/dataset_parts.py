# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The datasets that others are made of."""

from collections.abc import Iterator
from typing import Any

__all__ = ['dataset_parts', 'dataset_wrappers']


def dataset_parts(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers, or the dataset itself."""
    inner = _inner(dataset)
    for one in inner:
        yield from dataset_parts(one)
    if not inner:
        yield dataset


def dataset_wrappers(dataset: Any) -> Iterator[Any]:
    """A dataset's wrappers, from the outside."""
    inner = _inner(dataset)
    if inner:
        yield dataset
    for one in inner:
        yield from dataset_wrappers(one)


def _inner(dataset: Any) -> list[Any]:
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
    return [one for one in inner if one is not None]
