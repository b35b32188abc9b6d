# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Say what is missing on disk, or wrong in an annotation file, before a dataset fails on it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..datasets.readers import read_json
from ..datasets.readers.json_labels import JSON_LAYOUT
from ..errors import UsageError
from .dataset_configs import type_name

__all__ = ['check_data_layout']

VOC_LAYOUT = 'JPEGImages/*.jpg, Annotations/*.xml and ImageSets/Main/{train,val,trainval,test}.txt'
COCO_LAYOUT = 'annotations/instances_train2014.json and the folder train2014, or those of 2017'
CSV_LAYOUT = (
    "a CSV file with the columns path and labels (separated by ';') and the images it names"
)
NUS_LAYOUT = 'Groundtruth, ImageList and the photos in Flickr, as docs/datasets.md says'
OTHER_LAYOUT = 'an annotation file and the images it names'

#: Bytes; larger files are read once, by the dataset.
JSON_LIMIT = 32 * 2**20

#: What differs between dataloaders of the same files.
PER_LOADER = ('pipeline', 'test_mode')


def check_data_layout(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check folders and annotation files of the named dataloaders.

    JSON files of ``MultiLabelDataset`` up to 32 MiB are read, since the host checks nothing in
    them; the datasets of this package check what they read. Remote files are passed over.

    Args:
        cfg: A run's config.
        dataloaders: Keys of ``cfg`` to look at; those that are None are passed over.

    Raises:
        UsageError: If a local folder or annotation file is missing or empty, or a JSON file has an
            entry that can't be used. The message says what is expected.
    """
    checked = set()  # validation and test are often one split
    for name in dataloaders:
        for dataset in _datasets((cfg.get(name) or {}).get('dataset')):
            parts = {key: dataset[key] for key in sorted(dataset) if key not in PER_LOADER}
            root = dataset.get('data_root') or ''
            remote = any('://' in str(parts.get(key)) for key in ('data_root', 'ann_file'))
            if not remote and repr(parts) not in checked:
                CHECKS.get(type_name(dataset), _check_other)(name, dataset, root)
            checked.add(repr(parts))


def _datasets(cfg: Any) -> Iterator[dict]:
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
    path = _check_parts(name, dataset, root, JSON_LAYOUT)
    if path.suffix == '.json' and path.stat().st_size <= JSON_LIMIT:
        metainfo = dataset.get('metainfo') or {}  # goes before 'classes', as in the host
        classes = metainfo.get('classes', dataset.get('classes'))
        try:
            read_json(path, classes, rooted=bool(_image_folder(dataset, root)))
        except UsageError as error:
            raise UsageError(f'{name}: {error}') from None


def _check_coco(name: str, dataset: dict, root: str) -> None:
    _check_parts(name, dataset, root, COCO_LAYOUT)


def _check_csv(name: str, dataset: dict, root: str) -> None:
    _check_parts(name, dataset, root, CSV_LAYOUT)
    if dataset.get('classes_from'):
        _check_file(name, os.path.join(root, dataset['classes_from']), CSV_LAYOUT)


def _check_nus_wide(name: str, dataset: dict, root: str) -> None:
    _check_folder(name, root, NUS_LAYOUT)
    folder = _image_folder({'data_prefix': 'Flickr', **dataset}, root)
    _check_folder(name, folder, NUS_LAYOUT, 'data_prefix')


def _check_other(name: str, dataset: dict, root: str) -> None:
    """A dataset of another kind: what it names is there."""
    if root:
        _check_folder(name, root, OTHER_LAYOUT)
    if dataset.get('ann_file'):
        _check_file(name, os.path.join(root, dataset['ann_file']), OTHER_LAYOUT)


#: By the type without its scope.
CHECKS: dict[str, Callable[[str, dict, str], None]] = {
    'VOC': _check_voc,
    'VOCMultiLabel': _check_voc,
    'MultiLabelDataset': _check_json,
    'CocoMultiLabel': _check_coco,
    'CsvMultiLabel': _check_csv,
    'NUSWide': _check_nus_wide,
}


def _check_parts(name: str, dataset: dict, root: str, layout: str) -> Path:
    """Root, annotation file and image folder; returns the annotation file."""
    if root:
        _check_folder(name, root, layout)
    if not dataset.get('ann_file'):
        raise UsageError(f'{name}: {type_name(dataset)} has no ann_file; expected {layout}')
    path = os.path.join(root, dataset['ann_file'])
    _check_file(name, path, layout)
    folder = _image_folder(dataset, root)
    if folder:
        _check_folder(name, folder, layout, 'data_prefix')
    return Path(path).expanduser()


def _image_folder(dataset: dict, root: str) -> str:
    """Where the host looks for images: data_prefix, below data_root; '' where both are empty."""
    prefix = dataset.get('data_prefix') or ''
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path') or ''
    return os.path.join(root, os.path.expanduser(prefix))


def _check_folder(name: str, path: str, layout: str, key: str = 'data_root') -> None:
    if not Path(path).expanduser().is_dir():
        raise UsageError(
            f'{name}: folder {path} does not exist; expected {layout}. Set {key} in the config, or '
            'make a link there'
        )


def _check_file(name: str, path: str, layout: str) -> None:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f'{name}: file {path} does not exist; expected {layout}')
    with file.open('rb') as opened:
        if not any(block.strip() for block in iter(lambda: opened.read(2**16), b'')):
            raise UsageError(f'{name}: {path} lists no image: an empty split can not be used')
