# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The paper's own figures, and which config may be set beside which."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mmengine.config import Config

from cnnrnn_mm.apis.dataset_configs import leaves, type_name

__all__ = ['PublishedSet', 'find_set', 'known_sets']

FILE = Path(__file__).parent / 'published.json'


@dataclass(frozen=True)
class PublishedSet:
    """What the paper reports on one data set, in percent.

    Attributes:
        name: Short.
        title: The set and the split that the figures are of.
        source: The paper.
        k: Labels an image; None where the paper has average precision alone.
        rows: One dict a method, with ``method`` and the figures that the paper gives.
        average_precision: One dict a method, with ``method``, ``mAP`` and ``classes``.
        note: A remark, or None.
    """

    name: str
    title: str
    source: str
    k: int | None = None
    rows: list[dict] = field(default_factory=list)
    average_precision: list[dict] = field(default_factory=list)
    note: str | None = None


@cache
def known_sets() -> dict[str, PublishedSet]:
    """All sets of the paper, by name."""
    content = json.loads(FILE.read_text(encoding='utf-8'))
    return {
        name: PublishedSet(name, source=content['source'], note=content['notes'].get(name), **one)
        for name, one in content['sets'].items()
    }


def find_set(cfg: Config, split: str) -> PublishedSet | None:
    """The set of the paper that a config's split is, going by its dataset; None for all others."""
    parts = list(leaves(cfg[f'{split}_dataloader'].dataset))
    if len(parts) != 1:
        return None
    dataset = parts[0].get('dataset', parts[0])  # of ReadableImages
    kind, name = type_name(dataset), None
    if (dataset.get('metainfo') or {}).get('classes') or dataset.get('indices') is not None:
        return None
    if kind == 'CocoMultiLabel' and 'val2014' in dataset.get('ann_file', ''):
        name = 'coco'
    elif kind == 'NUSWide' and dataset.get('split') == 'test':
        name = {81: 'nus81', 1000: 'nus1000'}.get(dataset.get('concepts', 81))
    elif kind in ('VOC', 'VOCMultiLabel') and dataset.get('split') == 'test':
        name = 'voc2007' if '2007' in str(dataset.get('data_root')) else None
    return None if name is None else known_sets()[name]
