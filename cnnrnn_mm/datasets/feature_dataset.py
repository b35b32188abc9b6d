# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A dataset whose images are replaced by features that were computed before.

Axis letters: N images of a batch, V views of an image, F image feature size.
"""

import os
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from mmpretrain.datasets import MultiLabelDataset

from ..errors import UsageError
from ..registry import DATASETS
from .annotations import class_names, describe
from .cached_features import AUGMENTED, MIRRORED, CachedFeatures, load_features
from .fast_packing import FastPacking
from .readable_images import why_unreadable
from .view_boxes import FIELDS, GROUND_TRUTH

__all__ = ['FeatureDataset']


@DATASETS.register_module()
class FeatureDataset(MultiLabelDataset):
    """Hand out the cached features of a dataset's images instead of the images.

    ``tools/train.py CONFIG --features FOLDER`` puts it in the place of each dataset that reads
    images. Labels and whatever else is known of an image come from that dataset, features from the
    cache, by the image's path. The pipeline gets ``img`` (F,) or (F, h, w) float32; transforms that
    order labels and pack work as ever. The data preprocessor and the model must know of it
    (:class:`FeatureClassifier`).

    In training, a cache with mirror images gives either at random, anew each time, as the host's
    ``RandomFlip`` would; one with augmented copies gives one of these. In test mode it is always
    the plain view.

    From a cache with boxes the pipeline also gets ``img_shape``, the size of what the network saw,
    and in its pixels ``proposals`` and ``gt_bboxes`` with ``gt_bboxes_labels`` of that view; the
    last two only where the dataset with the images gives boxes, too.

    Args:
        features: Folder that ``tools/extract_features.py`` wrote, of one split.
        dataset: Config of the dataset with the images; None for the images and labels that were
            stored beside the features.
        flip_prob: Probability of the mirror image in training, where there is one.
        unreadable: What to do with an image of the dataset that has no features since it can't be
            decoded: ``'error'`` or ``'skip'``, as in :func:`ReadableImages`.
        **kwargs: Those of the host's ``BaseDataset``, such as ``pipeline`` and ``test_mode``.

    Raises:
        UsageError: If the cache can't be used or was made from other images, or an option is not
            known.
    """

    def __init__(
        self,
        features: str,
        dataset: dict | None = None,
        flip_prob: float = 0.5,
        unreadable: str = 'error',
        **kwargs: Any,
    ) -> None:
        if not 0 <= flip_prob <= 1:
            raise UsageError(f'flip_prob is {flip_prob}: set it to a value in [0, 1]')
        if unreadable not in ('skip', 'error'):
            raise UsageError(f"unreadable is '{unreadable}': set it to 'skip' or 'error'")
        self.dataset_cfg, self.flip_prob, self.unreadable = dataset, flip_prob, unreadable
        self.cached: CachedFeatures | None = None
        self._boxes: list[list[dict]] | None = None
        self._box_keys: tuple[str, ...] = ()
        super().__init__(features, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict an image, with the number of its row in the cache."""
        self.cached = load_features(self.ann_file)
        images = [
            {key: value for key, value in one.items() if key != 'file_size'}
            for one in self.cached.annotations
        ]
        self._boxes, self._box_keys = self.cached.boxes, ('img_shape', *FIELDS)
        if self.dataset_cfg is None:
            if self.cached.classes is not None:
                self._metainfo.setdefault('classes', tuple(self.cached.classes))
            return [{**one, 'feature_row': row} for row, one in enumerate(images)]
        inner = DATASETS.build({**self.dataset_cfg, 'pipeline': []})
        for key, value in inner.metainfo.items():
            self._metainfo.setdefault(key, value)
        rows = {one['img_path']: row for row, one in enumerate(images)}
        found, wanted = [], False
        for index in range(len(inner)):
            info = inner.get_data_info(index)
            info.pop('sample_idx', None)
            for key in GROUND_TRUTH:  # those of the view that is drawn take their place
                wanted = info.pop(key, None) is not None or wanted
            row = self._find_row(info, rows, self.cached, describe(inner))
            if row is not None:
                found.append({**info, 'feature_row': row})
        if wanted:
            self._check_boxes(inner, self.cached)
        else:
            self._box_keys = tuple(key for key in self._box_keys if key not in GROUND_TRUTH)
        return found

    def _check_boxes(self, inner: Any, cached: CachedFeatures) -> None:
        """The cache must have boxes of the classes of the dataset with the images."""
        if self._boxes is None or 'gt_bboxes' not in self._boxes[0][0]:
            raise UsageError(
                f'{describe(inner)} has boxes=True, but {cached.folder} was made without '
                f'boxes: {_remake(cached)}'
            )
        names = class_names(inner)
        if names != cached.classes:
            raise UsageError(
                f'{describe(inner)} has other classes than {cached.folder}, whose boxes would '
                f'mean something else: {_remake(cached)}'
            )

    def _find_row(
        self, info: dict, rows: dict[str, int], cached: CachedFeatures, name: str
    ) -> int | None:
        """The row of an image's features; None for one that is to be skipped."""
        path = str(info.get('img_path'))
        row = rows.get(path)
        if row is None:
            if self.unreadable == 'skip' and why_unreadable(path):
                return None
            raise UsageError(
                f'image {path} of {name} is not among the {len(rows)} images in {cached.folder}, '
                f'which was made from another image list: {_remake(cached)}'
            )
        size = cached.annotations[row].get('file_size')
        if size is not None and os.path.isfile(path) and os.path.getsize(path) != size:
            raise UsageError(
                f'image {path} has {os.path.getsize(path)} bytes, but had {size} when its features '
                f'in {cached.folder} were made: {_remake(cached)}'
            )
        return row

    @property
    def _cache(self) -> CachedFeatures:
        """The cache; read now where ``lazy_init`` put it off."""
        if self.cached is None:
            self.full_init()
        return cast(CachedFeatures, self.cached)

    def draw_views(self, count: int) -> np.ndarray:
        """The number of the view (count,) for each image, drawn by numpy's global generator."""
        kinds = self._cache.meta['views']
        if self.test_mode or len(kinds) == 1:
            return np.zeros(count, dtype=np.int64)
        draws = np.random.random(count)
        if MIRRORED in kinds:
            return np.where(draws < self.flip_prob, kinds.index(MIRRORED), 0)
        copies = [number for number, kind in enumerate(kinds) if kind == AUGMENTED]
        return np.asarray(copies)[(draws * len(copies)).astype(np.int64)]

    def with_feature(self, info: dict, view: int) -> dict:
        """The annotation as the image's own pipeline would leave it, without the feature."""
        kinds = self._cache.meta['views']
        if MIRRORED in kinds and not self.test_mode:
            flip = kinds[view] == MIRRORED
            info.update(flip=flip, flip_direction='horizontal' if flip else None)
        return info

    def _add_boxes(self, info: dict, row: int, view: int) -> None:
        if self._boxes is not None:
            shown = self._boxes[row][view]
            info.update((key, shown[key]) for key in self._box_keys if key in shown)

    def prepare_data(self, idx: int) -> dict | None:
        """Add the feature to the annotation, and run the pipeline."""
        info = self.get_data_info(idx)
        view, row = int(self.draw_views(1)[0]), info.pop('feature_row')
        self._add_boxes(info, row, view)
        feature = torch.from_numpy(np.array(self._cache.views[row, view]))
        return self.pipeline({**self.with_feature(info, view), 'img': feature})

    def __getitems__(self, indices: Sequence[int]) -> list[dict]:
        """The items of a batch; what :meth:`__getitem__` gives for each, in less time."""
        packing = FastPacking.of(self.pipeline.transforms)
        if packing is None:
            return [self[index] for index in indices]
        infos = [self.get_data_info(index) for index in indices]
        if not packing.fits(infos):
            return [self[index] for index in indices]
        views = self.draw_views(len(infos))
        rows = [info.pop('feature_row') for info in infos]
        features = torch.from_numpy(self._cache.views[rows, views])  # (N, F), read at once
        if self._boxes is not None:
            for info, row, view in zip(infos, rows, views.tolist(), strict=True):
                self._add_boxes(info, row, view)
        infos = [self.with_feature(*pair) for pair in zip(infos, views.tolist(), strict=True)]
        return packing(features, infos)


def _remake(cached: CachedFeatures) -> str:
    return f'make it anew with: {cached.meta.get("command")} --overwrite'
