# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Annotation files of ``MultiLabelDataset`` that can't be right."""

import json
from collections.abc import Callable
from pathlib import Path

from .case import Case
from .good_run import GoodRun

__all__ = ['JSON_CASES']


def _raw(name: str, content: bytes | None, says: str) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        file = here / 'a.json'
        if content is not None:
            file.write_bytes(content)
        return [file, '--out', here / 'out.json']

    return Case('annotation', f'JSON: {name}', 'dataset_converters/json_labels.py', make, says)


def _changed(name: str, change: Callable[[dict], object], says: str) -> Case:
    """``change`` is given what a good file holds."""
    content = GoodRun.json_content()
    change(content)
    return _raw(name, json.dumps(content).encode(), says)


def _entry(**changes: object) -> Callable[[dict], object]:
    return lambda content: content['data_list'][1].update(changes)


def _labels(name: str, labels: object, says: str) -> Case:
    return _changed(name, _entry(gt_label=labels), says)


def _path(name: str, path: object, says: str) -> Case:
    return _changed(name, _entry(img_path=path), says)


def _names(name: str, classes: object, says: str) -> Case:
    return _changed(name, lambda content: content['metainfo'].update(classes=classes), says)


JSON_CASES = (
    _raw('a file that does not exist', None, 'a.json cannot be read'),
    _raw('an empty file', b'', 'a.json is no JSON'),
    _raw('a truncated file', b'{"metainfo": {"cl', 'a.json is no JSON'),
    _raw('not UTF-8', b'{"metainfo": "\xe9"}', 'a.json is no JSON'),
    _raw('a byte order mark', b'\xef\xbb\xbf{}', 'a.json is no JSON'),
    _raw('NUL bytes', b'\0' * 1000, 'a.json is no JSON'),
    _raw('nested 100,000 times', b'[' * 100_000, 'a.json is no JSON'),
    _raw('a list', b'[]', 'a.json has no data_list'),
    _changed('no images', lambda content: content.update(data_list=[]), 'lists no image'),
    _changed('no metainfo', lambda content: content.pop('metainfo'), 'no metainfo'),
    _changed('an entry without labels', lambda content: content['data_list'][1].pop('gt_label'),
             'entry 1'),
    _changed('an entry that is a text', lambda content: content['data_list'].append('c.jpg'),
             'entry 3'),
    _labels('a label outside the classes', [0, 4], 'label 4'),
    _labels('a negative label', [-1], 'label -1'),
    _labels('a float as label', [1.0], 'label 1.0'),
    _labels('a NaN as label', [float('nan')], 'nan'),
    _labels('a name as label', ['cat'], "'cat'"),
    _labels('true as label', [True], 'True'),
    _labels('null as labels', None, 'None'),
    _labels('a list in the labels', [[1]], '[[1]]'),
    _labels('a number of 40 digits', [10**40], str(10**40)),
    _labels('a label twice', [1, 1], '[1, 1]'),
    _path('an image twice', 'a.jpg', 'a.jpg'),
    _path('a path that is a number', 7, '7'),
    _path('an empty path', '', "''"),
    _path('a path that climbs out', '../../etc/passwd', '../../etc/passwd'),
    _path('an absolute path', '/etc/passwd', '/etc/passwd'),
    _path('a NUL byte in a path', 'a\0.jpg', r'a\x00.jpg'),
    _names('a class twice', ['cat', 'dog', 'cat', 'bus'], "'cat'"),
    _names('an empty class name', ['cat', '', 'dog', 'bus'], 'class 1'),
    _names('a class name that is a number', ['cat', 3, 'dog', 'bus'], 'class 1'),
    _names('a line end in a class name', ['cat', 'a\nerror: b', 'dog', 'bus'], r'a\nerror: b'),
    _names('classes that are a text', 'cat', 'metainfo'),
)  # fmt: skip
