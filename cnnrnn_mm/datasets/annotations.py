# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Read and check the label lists of any dataset of the host, before a run starts."""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from ..errors import UsageError

__all__ = ['check_labels', 'class_names', 'infos', 'read_labels']


def class_names(dataset: Any) -> list[str] | None:
    """The class names of a dataset, or None where it has none (the host's multi-task format)."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return None if classes is None else [str(name) for name in classes]


def read_labels(dataset: Any, task: str | None = None) -> tuple[list[np.ndarray], list[str]]:
    """The label lists of all images, without loading an image.

    Args:
        dataset: Any dataset or dataset wrapper of the host.
        task: The task, where ``gt_label`` is a dict over tasks; images without it are left out.

    Returns:
        Label lists (n_i,) int64 and the image paths beside them.

    Raises:
        UsageError: If the dataset is empty or an image has no label list.
    """
    labels, paths = [], []
    for index, info in enumerate(infos(dataset)):
        path = str(info.get('img_path', f'number {index}'))
        value = info.get('gt_label')
        if task is not None:
            if not isinstance(value, dict):
                raise UsageError(
                    f"image {path} has no tasks, but OrderLabels has task='{task}': remove 'task' "
                    'or use a multi-task dataset'
                )
            if task not in value:
                continue
            value = value[task]
        if value is None or isinstance(value, dict):
            raise UsageError(
                f'image {path} has gt_label={value!r}, not a list of class ids: annotate it, or '
                "name the task in OrderLabels(task=...) where 'gt_label' is a dict"
            )
        ids = np.array(value, ndmin=1)
        if ids.size and ids.dtype.kind not in 'iu':
            raise UsageError(
                f'image {path} has gt_label={value!r}, which is no list of class ids: list integers'
            )
        labels.append(ids.astype(np.int64))
        paths.append(path)
    if not labels:
        what = 'is empty' if task is None else f"has no image with task '{task}'"
        raise UsageError(
            f'dataset {describe(dataset)} {what}: check its split file, its annotation file '
            'and its data_root'
        )
    return labels, paths


def check_labels(labels: Sequence[np.ndarray], paths: Sequence[str], num_classes: int) -> None:
    """Raise ``UsageError`` for a label outside 0..C-1 or one that comes twice in an image."""
    flat = np.concatenate(labels) if labels else np.zeros(0, np.int64)
    image = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
    outside = (flat < 0) | (flat >= num_classes)
    if outside.any():
        first = outside.argmax()
        raise UsageError(
            f'label {flat[first]} of image {paths[image[first]]} is outside 0..{num_classes - 1} '
            f'({num_classes} classes): correct the annotation or the class list'
        )
    values, counts = np.unique(image * num_classes + flat, return_counts=True)
    if (counts > 1).any():
        first_image, label = divmod(int(values[(counts > 1).argmax()]), num_classes)
        raise UsageError(
            f'label {label} comes twice in image {paths[first_image]}: list each label of an '
            'image once'
        )


def describe(dataset: Any) -> str:
    """A name for messages: type and where it reads from."""
    source = getattr(dataset, 'image_set_path', '') or getattr(dataset, 'ann_file', '')
    return f'{type(dataset).__name__}({source})' if source else type(dataset).__name__


def infos(dataset: Any) -> Iterator[dict]:
    """The annotation of each image, as the outermost dataset counts them; to be read only."""
    if getattr(type(dataset), 'get_data_info', None) is BaseDataset.get_data_info:
        return _stored_infos(dataset)
    if hasattr(dataset, 'get_data_info'):
        return (dataset.get_data_info(index) for index in range(len(dataset)))
    return iter(dataset.data_list)  # the host's MultiTaskDataset


def _stored_infos(dataset: BaseDataset) -> Iterator[dict]:
    """What the host's ``get_data_info`` gives for each image, without its cost for a single one."""
    dataset.full_init()
    if not dataset.serialize_data:
        yield from dataset.data_list
        return
    stored, start = memoryview(dataset.data_bytes), 0
    for end in dataset.data_address.tolist():
        yield pickle.loads(stored[start:end])
        start = end
