# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write a cache of features without a model."""

from pathlib import Path

from torch import Tensor

from cnnrnn_mm.datasets import CachedFeatures, FeatureWriter


def write_cache(
    folder: Path,
    views: Tensor,
    labels: list[list[int]],
    classes: list[str] | None,
    kinds: tuple[str, ...] = ('plain',),
    paths: list[str] | None = None,
    **meta,
) -> CachedFeatures:
    """Write features (n, V, F) of images ``0.jpg``, ``1.jpg``, ... in one batch, and open them."""
    paths = [f'{row}.jpg' for row in range(len(labels))] if paths is None else paths
    annotations = [
        {'img_path': path, 'gt_label': one} for path, one in zip(paths, labels, strict=True)
    ]
    meta = {'views': list(kinds), 'command': 'python make.py', **meta}
    with FeatureWriter(folder, meta, annotations, classes) as writer:
        writer.write(views)
        return writer.finish()
