# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Neighbours of labels and photos as plain records and files.

Axis letters: N images, C classes, k neighbours of each.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..datasets.annotations import check_labels, class_names, read_labels
from ..datasets.label_table import write_whole
from ..errors import UsageError
from ..visualization.neighbor_map_plot import plot_neighbor_map
from .dataset_configs import type_name
from .figures import save_figure, save_table
from .joint_embedding import JointEmbedding, PhotoVectors
from .label_lift import measure_lift
from .label_projection import project_labels
from .split_dataset import build_split_dataset

__all__ = ['neighbor_lift', 'neighbor_map', 'neighbor_report', 'write_neighbors']


def neighbor_report(
    embedding: JointEmbedding,
    photos: PhotoVectors | None = None,
    labels: Sequence[str] | None = None,
    k: int = 5,
) -> dict[str, Any]:
    """Nearest labels of labels and photos, and nearest photos of labels.

    Args:
        embedding: The model's space.
        photos: From :meth:`JointEmbedding.read_photos`.
        labels: Names of the labels to report on; None for all.
        k: Neighbours of each.

    Returns:
        ``space``, ``k``; ``labels``: for each label its name and ``nearest``, dicts of ``label``
        and ``cosine``; and with photos ``photos``: for each its name and ``nearest``, dicts of
        ``label`` and ``score``; ``photos_of_labels``: for each label ``nearest``, dicts of
        ``photo`` and ``score``; ``unreadable``: photo and error.

    Raises:
        UsageError: If a label is unknown or k is below 1.
    """
    classes = embedding.classes
    ids = [embedding.label_id(name) for name in (classes if labels is None else labels)]
    report: dict[str, Any] = {
        'space': embedding.space,
        'k': k,
        'labels': [
            {
                'label': classes[label],
                'nearest': [
                    {'label': classes[one.id], 'cosine': one.closeness}
                    for one in embedding.nearest_labels(label, k)
                ],
            }
            for label in ids
        ],
    }
    if photos is None:
        return report
    report['photos'] = [
        {
            'photo': name,
            'nearest': [
                {'label': classes[one.id], 'score': one.closeness}
                for one in embedding.nearest_labels(vector, k)
            ],
        }
        for name, vector in zip(photos.names, photos.vectors, strict=True)
    ]
    report['photos_of_labels'] = [
        {
            'label': classes[label],
            'nearest': [
                {'photo': photos.names[one.id], 'score': one.closeness}
                for one in embedding.nearest_photos(label, photos.vectors, k)
            ],
        }
        for label in ids
    ]
    report['unreadable'] = [
        {'photo': name, 'error': error} for name, error in photos.errors.items()
    ]
    return report


def neighbor_lift(
    embedding: JointEmbedding, cfg: Config, split: str, k: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Whether near labels come together in the images of a split; see :func:`measure_lift`.

    Args:
        embedding: The model's space.
        cfg: Config with the split's dataloader; no image is read.
        split: ``'train'``, ``'val'`` or ``'test'``.
        k: Neighbours of each label.
        seed: Of the draws.

    Raises:
        UsageError: If the split is missing or has other classes.
    """
    dataset = build_split_dataset(_on_annotations(cfg, split), split)
    classes = class_names(dataset)
    if classes is not None and tuple(classes) != tuple(embedding.classes):
        raise UsageError(
            f"split '{split}' has other classes than the checkpoint: give the config that it was "
            'trained with'
        )
    labels, paths = read_labels(dataset)
    check_labels(labels, paths, len(embedding.classes))
    presence = np.zeros((len(labels), len(embedding.classes)), dtype=bool)
    for row, one in enumerate(labels):
        presence[row, one] = True
    order = _order_of(embedding)[:, :k]
    return measure_lift(order, presence, seed=seed)


def neighbor_map(embedding: JointEmbedding, method: str = 'tsne', seed: int = 0) -> dict[str, Any]:
    """The labels on a plane: ``method``, ``trustworthiness`` and ``points``, C pairs x, y.

    Raises:
        UsageError: If scikit-learn is missing or the method is unknown.
    """
    closeness = embedding.closeness_of_labels().numpy()
    points, trust = project_labels(closeness, method, seed)
    return {'method': method, 'trustworthiness': trust, 'points': points.tolist()}


def write_neighbors(
    report: dict[str, Any], embedding: JointEmbedding, out: Path, title: str = ''
) -> list[Path]:
    """Write ``neighbors.json``, tables as CSV, and ``label_map.png`` where there is a map.

    Args:
        report: From :func:`neighbor_report`; under ``map`` what :func:`neighbor_map` gave.
        embedding: The space.
        out: Folder.
        title: What is shown, above the map.

    Returns:
        The files written.
    """
    text = json.dumps(report, ensure_ascii=False, indent=1) + '\n'
    path = out / 'neighbors.json'
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding='utf-8'))
    written = [path]
    for key, own, other, value in (
        ('labels', 'label', 'label', 'cosine'),
        ('photos', 'photo', 'label', 'score'),
        ('photos_of_labels', 'label', 'photo', 'score'),
    ):
        if key in report:
            header = (own, 'rank', f'nearest_{other}', value)
            rows = (
                (one[own], rank, near[other], near[value])
                for one in report[key]
                for rank, near in enumerate(one['nearest'], start=1)
            )
            written.append(save_table(out / f'nearest_{key}.csv', header, rows))
    if 'map' in report:
        nearest = _order_of(embedding)[:, 0] if len(embedding.classes) > 1 else [0]
        figure = plot_neighbor_map(embedding.classes, report['map']['points'], nearest, title)
        written.append(save_figure(figure, out / 'label_map.png'))
    return written


def _order_of(embedding: JointEmbedding) -> np.ndarray:
    """(C, C - 1) ids of the other labels, the nearest first."""
    closeness = embedding.closeness_of_labels().numpy().copy()
    np.fill_diagonal(closeness, -np.inf)
    return np.argsort(-closeness, axis=1, kind='stable')[:, :-1]


def _on_annotations(cfg: Config, split: str) -> Config:
    """The config with the images' own dataset where cached features stand in for it."""
    loader = cfg.get(f'{split}_dataloader')
    if loader is None or type_name(loader.dataset) != 'FeatureDataset':
        return cfg
    return Config(
        {**cfg.to_dict(), f'{split}_dataloader': {**loader, 'dataset': loader.dataset.dataset}}
    )
