# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Train on features that were computed once, without the images."""

import numpy as np
from mmpretrain.datasets import MultiLabelDataset

from ..errors import UsageError
from ..registry import DATASETS
from .cached_features import load_features

__all__ = ['FeatureDataset']


@DATASETS.register_module()
class FeatureDataset(MultiLabelDataset):
    """A split whose images are replaced by their features.

    It reads a file of ``tools/extract_features.py`` and hands the pipeline ``img`` (F,) float32,
    ``gt_label``, ``img_path`` and ``flip``, so ``OrderLabels`` and ``PackInputs`` work with their
    defaults. :class:`PrecomputedFeatures` stands for the backbone, and the data preprocessor must
    neither normalise nor pad::

        data_preprocessor = dict(num_classes=260)
        model = dict(
            type='ImageClassifier',
            backbone=dict(type='cnnrnn_mm.PrecomputedFeatures'),
            head=dict(type='cnnrnn_mm.CNNRNNHead', num_classes=260, in_channels=1280),
        )

    Where the file holds features of flipped images too, training takes either at random, anew each
    time, as ``RandomFlip`` would; with ``test_mode=True`` it is always the image's own.

    Args:
        ann_file: The file, below ``data_root`` if that is given.
        flip_prob: Probability of the flipped image's feature in training; without effect where the
            file has none.
        **kwargs: Those of the host's ``BaseDataset``. ``metainfo`` goes before the file's classes.

    Raises:
        UsageError: If the file can't be used or ``flip_prob`` is no probability.
    """

    def __init__(self, ann_file: str, flip_prob: float = 0.5, **kwargs) -> None:
        if not 0 <= flip_prob <= 1:
            raise UsageError(f'flip_prob is {flip_prob}: set it to a value in [0, 1]')
        self.flip_prob = flip_prob
        self.features = self.flipped = None
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict an image, with the number of its row; the features stay apart, as tensors."""
        cached = load_features(self.ann_file)
        self.features, self.flipped = cached.features, cached.flipped
        if cached.classes is not None:
            self._metainfo.setdefault('classes', tuple(cached.classes))
        images = zip(cached.img_paths, cached.labels, strict=True)
        return [
            dict(img_path=path, gt_label=labels, feature_row=row)
            for row, (path, labels) in enumerate(images)
        ]

    def prepare_data(self, idx: int) -> dict | None:
        """Add the feature to the annotation, and run the pipeline."""
        results = self.get_data_info(idx)
        flip = (
            self.flipped is not None
            and not self.test_mode
            and bool(np.random.random() < self.flip_prob)
        )
        source = self.flipped if flip else self.features
        results.update(img=source[results['feature_row']].clone(), flip=flip)
        return self.pipeline(results)
