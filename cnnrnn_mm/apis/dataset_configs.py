# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Datasets in a config, through wrappers, and what their pipelines do."""

from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import ConfigDict
from mmpretrain.registry import TRANSFORMS

from ..errors import UsageError

__all__ = [
    'LABEL_TRANSFORMS',
    'leaves',
    'map_leaves',
    'pipeline_of',
    'split_pipeline',
    'transforms_inside',
    'type_name',
]

#: They read or write labels or pack the results, and leave the pixels alone.
LABEL_TRANSFORMS = ('OrderLabels', 'PackInputs', 'PackMultiTaskInputs')
#: Transforms of these packages that are not among the above see nothing but the image.
PIXEL_PACKAGES = ('mmcv', 'mmpretrain', 'cnnrnn_mm')


def type_name(cfg: dict) -> str:
    """The bare name of what a config builds: scopes in front are left out."""
    kind = cfg.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')


def is_leaf(dataset: dict) -> bool:
    """Whether a dataset reads images itself; :func:`ReadableImages` only looks at them first."""
    return type_name(dataset) == 'ReadableImages' or not ('dataset' in dataset or _parts(dataset))


def leaves(dataset: dict) -> Iterator[dict]:
    """The datasets that read images, in a dataset's config, through wrappers."""
    if is_leaf(dataset):
        yield dataset
    else:
        for one in _parts(dataset) or [dataset['dataset']]:
            yield from leaves(one)


def map_leaves(dataset: dict, change: Callable[[dict], dict]) -> ConfigDict:
    """A dataset's config with each leaf replaced by ``change(leaf)``; nothing is changed in it."""
    if is_leaf(dataset):
        return ConfigDict(change(dataset))
    if 'dataset' in dataset:
        return ConfigDict({**dataset, 'dataset': map_leaves(dataset['dataset'], change)})
    inner = [map_leaves(one, change) for one in dataset['datasets']]
    return ConfigDict({**dataset, 'datasets': inner})


def pipeline_of(dataset: dict) -> list[dict]:
    """The pipeline of a dataset's config: of its first leaf."""
    first = next(leaves(dataset))
    while 'pipeline' not in first and 'dataset' in first:
        first = first['dataset']
    return list(first.get('pipeline', []))


def split_pipeline(pipeline: list[dict], name: str) -> tuple[list[dict], list[dict]]:
    """The transforms that make the pixels, and those that order labels and pack.

    Args:
        pipeline: Configs of transforms.
        name: What the pipeline is called, for messages.

    Raises:
        UsageError: If a transform of another package could be either, or one does both.
    """
    pixels, labels = [], []
    for one in pipeline:
        kinds = [kind in LABEL_TRANSFORMS for kind in map(type_name, transforms_inside(one))]
        if all(kinds):
            labels.append(one)
        elif any(kinds):
            raise UsageError(
                f'{type_name(one)} of {name} holds transforms of images and of labels: make it two'
            )
        else:
            _check_known(one, name)
            pixels.append(one)
    return pixels, labels


def _check_known(transform: dict, name: str) -> None:
    kind = transform['type']
    if isinstance(kind, str) and kind.startswith('torchvision/'):  # the host's name for these
        return
    found = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    package = (getattr(found, '__module__', '') or '').partition('.')[0]
    if package not in PIXEL_PACKAGES and not getattr(found, 'changes_only_pixels', False):
        raise UsageError(
            f'{kind} of {name} could change labels, too, which cached features would miss: if it '
            f'does not, set the class attribute changes_only_pixels = True in {kind}'
        )


def transforms_inside(transform: dict) -> list[dict]:
    """The innermost transforms in a transform's config, or the transform itself."""
    inner = list(_dicts(transform.get('transforms', [])))
    return [leaf for one in inner for leaf in transforms_inside(one)] or [transform]


def _dicts(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _dicts(one)


def _parts(dataset: dict) -> list[dict]:
    return list(dataset.get('datasets') or [])
