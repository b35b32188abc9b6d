# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Say what is missing on disk before a dataset fails on it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from ..errors import UsageError

__all__ = ['check_data_layout']

VOC_LAYOUT = 'JPEGImages/*.jpg, Annotations/*.xml and ImageSets/Main/{train,val,trainval,test}.txt'
JSON_LAYOUT = (
    'an annotation file {"metainfo": {"classes": [...]}, "data_list": [{"img_path": ..., '
    '"gt_label": [...]}]} and the images it names'
)

#: Bytes; larger files are read once, by the dataset.
JSON_LIMIT = 32 * 2**20


def check_data_layout(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check folders and split files of the named dataloaders.

    Args:
        cfg: A run's config.
        dataloaders: Keys of ``cfg`` to look at; those that are None are passed over.

    Raises:
        UsageError: If a local folder or a split file is missing or empty. The message says what
            layout is expected.
    """
    for name in dataloaders:
        for dataset in _datasets((cfg.get(name) or {}).get('dataset')):
            root = dataset.get('data_root') or ''
            if '://' in root:
                continue
            if str(dataset['type']).rpartition('.')[2] == 'VOC':
                _check_voc(name, dataset, root)
            elif root or dataset.get('ann_file'):
                _check_json(name, dataset, root)


def _datasets(cfg) -> Iterator[dict]:
    """The datasets in a config, through wrappers."""
    if isinstance(cfg, dict) and 'type' in cfg:
        inner = [cfg[key] for key in ('dataset', 'datasets') if key in cfg]
        if not inner:
            yield cfg
        for one in inner:
            yield from _datasets(one)
    elif isinstance(cfg, (list, tuple)):
        for one in cfg:
            yield from _datasets(one)


def _check_voc(name: str, dataset: dict, root: str) -> None:
    _check_folder(name, root, VOC_LAYOUT)
    split = dataset.get('split', 'trainval')
    listing = dataset.get('image_set_path') or os.path.join('ImageSets', 'Main', f'{split}.txt')
    _check_file(name, os.path.join(root, listing), VOC_LAYOUT)
    for part in ('JPEGImages', 'Annotations'):
        if 'data_prefix' not in dataset:
            _check_folder(name, os.path.join(root, part), VOC_LAYOUT)


def _check_json(name: str, dataset: dict, root: str) -> None:
    if root:
        _check_folder(name, root, JSON_LAYOUT)
    if dataset.get('ann_file'):
        path = os.path.join(root, dataset['ann_file'])
        _check_file(name, path, JSON_LAYOUT)
        if path.endswith('.json') and Path(path).stat().st_size <= JSON_LIMIT:
            _check_entries(name, path)


def _check_entries(name: str, path: str) -> None:
    try:
        content = json.loads(Path(path).read_text())
    except ValueError as error:
        raise UsageError(f'{name}: {path} is no JSON ({error}); expected {JSON_LAYOUT}') from None
    if not isinstance(content, dict) or not isinstance(content.get('data_list'), list):
        raise UsageError(f'{name}: {path} has no data_list; expected {JSON_LAYOUT}')
    if not content['data_list']:
        raise UsageError(f'{name}: {path} lists no image: an empty split can not be used')


def _check_folder(name: str, path: str, layout: str) -> None:
    if not Path(path).expanduser().is_dir():
        raise UsageError(
            f'{name}: folder {path} does not exist; expected {layout}. Set data_root in the '
            'config, or make a link there'
        )


def _check_file(name: str, path: str, layout: str) -> None:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f'{name}: file {path} does not exist; expected {layout}')
    if not file.read_bytes().strip():
        raise UsageError(f'{name}: {path} lists no image: an empty split can not be used')
