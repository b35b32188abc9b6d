# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Image features with their label lists, in one file.

Axis letters: n images, F image feature size, C labels.
"""

import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .annotations import check_labels

__all__ = ['CachedFeatures', 'check_finite', 'load_features', 'save_features']

REQUIRED = ('features', 'labels', 'classes', 'img_paths', 'meta')
REMEDY = 'write it with tools/extract_features.py'


@dataclass(frozen=True)
class CachedFeatures:
    """What the head sees of the images of a split, in the split's stored order.

    Attributes:
        features: (n, F) float32, what ``head.pre_logits`` gave.
        labels: n label lists, as the dataset gives them; a list may be empty.
        classes: C class names; None where the dataset has none.
        img_paths: n paths, as the dataset gives them.
        meta: What the features were made from, in plain types.
        flipped: (n, F) float32, of the horizontally flipped images; None where they were not made.

    Raises:
        UsageError: If there is no image, sizes differ, a feature is not finite, or a label is no
            class or comes twice in an image.
    """

    features: Tensor
    labels: list[list[int]]
    classes: list[str] | None
    img_paths: list[str]
    meta: dict = field(default_factory=dict)
    flipped: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ('features', 'flipped'):
            value = getattr(self, name)
            if value is None and name == 'flipped':
                continue
            if not isinstance(value, Tensor) or value.dim() != 2 or value.dtype != torch.float32:
                raise UsageError(f"'{name}' is {_describe(value)}, not float32 of shape (n, F)")
        for name in ('labels', 'img_paths'):
            value = getattr(self, name)
            if not isinstance(value, list) or len(value) != len(self.features):
                size = f'{len(value)} entries' if isinstance(value, list) else _describe(value)
                raise UsageError(f"'{name}' has {size} for {len(self.features)} features")
        if self.flipped is not None and self.flipped.shape != self.features.shape:
            raise UsageError(
                f"'flipped' has shape {tuple(self.flipped.shape)}, 'features' "
                f'{tuple(self.features.shape)}: they must be equal'
            )
        if len(self.features) == 0:
            raise UsageError('there is no image: an empty split can not be used')
        self._check_labels()
        for value in (self.features, self.flipped):
            if value is not None:
                check_finite(value, self.img_paths)

    def _check_labels(self) -> None:
        lists = [np.asarray(one) for one in self.labels]
        for one, path in zip(lists, self.img_paths, strict=True):
            if one.ndim != 1 or (one.size and one.dtype.kind not in 'iu'):
                raise UsageError(f'labels of image {path} are no list of class ids')
        if self.classes is None:
            num_classes = 1 + max((int(one.max()) for one in lists if one.size), default=0)
        else:
            num_classes = len(self.classes)
        check_labels([one.astype(np.int64) for one in lists], self.img_paths, max(num_classes, 1))


def check_finite(features: Tensor, paths: Sequence[str]) -> None:
    """Raise ``UsageError`` that names the first image whose feature (n, F) has NaN or infinity."""
    bad = ~features.isfinite().all(1)
    if bad.any():
        raise UsageError(
            f'the feature of image {paths[int(bad.nonzero()[0])]} holds NaN or infinite values '
            f'({int(bad.sum())} of {len(features)} images looked at): check the weights and the '
            'data_preprocessor'
        )


def load_features(path: str | Path) -> CachedFeatures:
    """Read and check a file of :func:`save_features`; no code in it is run.

    Raises:
        UsageError: If the file is missing, no such file, or its content contradicts itself.
    """
    if not Path(path).is_file():
        raise UsageError(f'file of features {path} does not exist: {REMEDY}')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError):
        raise UsageError(f'{path} is truncated or no file of features: {REMEDY}') from None
    if not isinstance(content, dict):
        raise UsageError(f'{path} holds {_describe(content)}, not a dict: {REMEDY}')
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise UsageError(f'{path} has no {", ".join(map(repr, missing))}: {REMEDY}')
    try:
        return CachedFeatures(
            **{name: content[name] for name in REQUIRED}, flipped=content.get('flipped')
        )
    except UsageError as error:
        raise UsageError(f'{path}: {error}') from None


def save_features(cached: CachedFeatures, path: str | Path) -> None:
    """Write a file that ``torch.load(path, weights_only=True)`` reads as a dict.

    The keys are the attributes of :class:`CachedFeatures`; without flipped features there is no
    key for them. The folder is made where it is missing. The file appears when it is whole: what
    was there before stays until then, and a write that fails leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {one.name: getattr(cached, one.name) for one in fields(cached)}
    content['features'] = cached.features.clone()  # of a slice, torch would write the whole
    if cached.flipped is None:
        del content['flipped']
    else:
        content['flipped'] = cached.flipped.clone()
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}.unfinished')
    try:
        torch.save(content, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f'{str(value.dtype).removeprefix("torch.")} of shape {tuple(value.shape)}'
    return f'a {type(value).__name__}'
