# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Annotation files that can't be right: CSV, VOC, COCO, lists of classes. JSON is beside this."""

import json
from collections.abc import Callable
from pathlib import Path

from .case import Case
from .good_run import GoodRun
from .json_cases import JSON_CASES

__all__ = ['ANNOTATION_CASES']

HEADER = 'path,labels\n'


def _out(here: Path, *words: object) -> list:
    return [*words, '--out', here / 'out.json']


def _csv(name: str, content: str | bytes, says: str, *more: str) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        file = here / 'a.csv'
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return _out(here, file, *more)

    return Case('annotation', f'CSV: {name}', 'dataset_converters/csv_labels.py', make, says)


def _voc(name: str, change: Callable[[Path], object], says: str, *more: str) -> Case:
    """``change`` is given the folder of a good VOC set."""

    def make(run: GoodRun, here: Path) -> list:
        root = run.voc_copy(here)
        change(root)
        return _out(here, root, '--split', 'val', '--unknown', 'error', *more)

    return Case('annotation', f'VOC: {name}', 'dataset_converters/voc.py', make, says)


def _xml(name: str, old: str, new: str | bytes, says: str) -> Case:
    """One text of an annotation file is replaced; of an empty ``old``, all of it."""

    def change(root: Path) -> None:
        file = root / 'Annotations' / 'val_0000.xml'
        fresh = new if isinstance(new, bytes) else new.encode()
        text = file.read_bytes()
        assert old.encode() in text
        file.write_bytes(text.replace(old.encode(), fresh, 1) if old else fresh)

    return _voc(name, change, says)


def _ids(text: str) -> Callable[[Path], object]:
    return lambda root: (root / 'ImageSets' / 'Main' / 'val.txt').write_text(text)


def _coco(name: str, change: Callable[[dict], object], says: str) -> Case:
    """``change`` is given what a good file holds."""

    def make(run: GoodRun, here: Path) -> list:
        content = run.coco_content()
        change(content)
        (here / 'instances.json').write_text(json.dumps(content))
        return _out(here, here / 'instances.json')

    return Case('annotation', f'COCO: {name}', 'dataset_converters/coco.py', make, says)


def _classes(name: str, content: bytes | None, says: str) -> Case:
    def make(run: GoodRun, here: Path) -> list:
        if content is not None:
            (here / 'classes.txt').write_bytes(content)
        return _out(here, run.voc, '--split', 'val', '--classes', here / 'classes.txt')

    return Case('annotation', f'class list: {name}', 'dataset_converters/voc.py', make, says)


def _nus_wide(run: GoodRun, here: Path) -> list:
    (here / 'nus').mkdir()
    return _out(here, here / 'nus')


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">'
    + ''.join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    + ']><annotation><object><name>&l9;</name></object></annotation>'
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    '<annotation><object><name>&x;</name></object></annotation>'
)

ANNOTATION_CASES = (
    *JSON_CASES,
    _csv('an empty file', '', 'a.csv is empty'),
    _csv('a header alone', HEADER, 'a.csv lists no image'),
    _csv('no header', 'a.jpg,cat\n', "'path'"),
    _csv('a cell too many', HEADER + 'a.jpg,cat,dog\n', 'line 2 has 3 cells'),
    _csv('not UTF-8', HEADER.encode() + b'a.jpg,caf\xe9\n', 'line 2 is no utf-8'),
    _csv('UTF-16', (HEADER + 'a.jpg,cat\n').encode('utf-16'), 'line 1 is no utf-8'),
    _csv('an encoding that does not exist', HEADER, "'utf-99'", '--encoding', 'utf-99'),
    _csv('a quote that is not closed', HEADER + 'a.jpg,"cat\n', 'line 2'),
    _csv('NUL bytes in a label', HEADER + 'a.jpg,c\0at\n', 'line 2 has a NUL byte'),
    _csv('a field of 2 MB', HEADER + 'a.jpg,' + 'x' * 2_000_000 + '\n', 'line 2'),
    _csv('a label twice', HEADER + 'a.jpg,cat;cat\n', "'cat' twice"),
    _csv('an empty label', HEADER + 'a.jpg,cat;;dog\n', 'cat;;dog'),
    _csv('an image twice', HEADER + 'a.jpg,cat\n./a.jpg,dog\n', 'a.jpg is listed twice'),
    _csv('a path that climbs out', HEADER + '../../etc/passwd,cat\n', '../../etc/passwd'),
    _csv('an absolute path', HEADER + '/etc/passwd,cat\n', '/etc/passwd'),
    _csv('a Windows path', HEADER + 'C:\\a.jpg,cat\n', 'C:'),
    _csv('a mark that is neither 0 nor 1', 'path,cat\na.jpg,2\n', "'2'", '--one-hot'),
    _csv('a column twice', 'path,cat,cat\na.jpg,1,0\n', "'cat' comes twice", '--one-hot'),
    _csv('a terminal code in a label', HEADER + 'a.jpg,\x1b[31mcat\n', r'\x1b[31mcat'),
    _csv('an empty separator', HEADER + 'a.jpg,cat\n', "separator=''", '--separator', ''),
    _csv('a delimiter of two characters', HEADER, "'||'", '--delimiter', '||'),
    _voc('a list that does not exist', lambda root: (root / 'ImageSets/Main/val.txt').unlink(),
         'val.txt'),
    _voc('an empty list', _ids(''), 'val.txt'),
    _voc('a list that is no UTF-8', lambda root: (root / 'ImageSets/Main/val.txt').write_bytes(
        b'\xff\xfea\0'), 'val.txt'),
    _voc('an id without annotation', _ids('none\n'), 'none'),
    _voc('an id twice', _ids('val_0000\nval_0000\n'), 'val_0000'),
    _voc('an id that climbs out', _ids('../../../etc/passwd\n'), '../../../etc/passwd'),
    _xml('an empty annotation', '', '', 'val_0000.xml'),
    _xml('a truncated annotation', '', '<annotation><object><na', 'val_0000.xml'),
    _xml('another kind of XML', '', '<html></html>', '<html>'),
    _xml('an encoding that does not exist', '', '<?xml version="1.0" encoding="u-9"?><annotation/>',
         'val_0000.xml'),
    _xml('a NUL byte', '<name>', b'<name>\0', 'val_0000.xml'),
    _xml('an entity bomb', '', BILLION_LAUGHS, 'document type'),
    _xml('an external entity', '', EXTERNAL, 'document type'),
    _xml('an object without name', '<name>person</name>', '<name> </name>', 'object 0'),
    _xml('a class that is not known', '<name>person</name>', '<name>persn</name>', "'persn'"),
    _xml('difficult = 2', '<difficult>0', '<difficult>2', '<difficult>2</difficult>'),
    _xml('a corner as text', '<xmin>1<', '<xmin>left<', 'left'),
    _xml('a corner that is NaN', '<xmin>1<', '<xmin>nan<', 'nan'),
    _xml('a box outside the image', '<xmin>1<', '<xmin>99<', '99'),
    _coco('no categories', lambda all_: all_.pop('categories'), "'categories'"),
    _coco('no images', lambda all_: all_.update(images=[]), "'images'"),
    _coco('images that are a dict', lambda all_: all_.update(images={}), "'images'"),
    _coco('a category id twice', lambda all_: all_['categories'][1].update(id=7), '7'),
    _coco('a category name twice', lambda all_: all_['categories'][1].update(name='cat'), 'cat'),
    _coco('a category id as text', lambda all_: all_['categories'][0].update(id='7'), "'7'"),
    _coco('an image id twice', lambda all_: all_['images'][1].update(id=1), '1'),
    _coco('an object of no image', lambda all_: all_['annotations'][0].update(image_id=5), '5'),
    _coco('an object of no category', lambda all_: all_['annotations'][0].update(category_id=5),
          '5'),
    _coco('a box of text', lambda all_: all_['annotations'][0].update(bbox='big'), 'big'),
    _coco('captions', lambda all_: all_.update(annotations=[dict(image_id=1, caption='a cat')]),
          'captions'),
    _coco('a path that climbs out', lambda all_: all_['images'][0].update(file_name='../a.jpg'),
          '../a.jpg'),
    _classes('a file that does not exist', None, 'classes.txt'),
    _classes('an empty file', b'\n', 'names no class'),
    _classes('a class twice', b'cat\ndog\ncat\n', "'cat'"),
    _classes('not UTF-8', b'caf\xe9\n', 'line 1 is no UTF-8'),
    _classes('a terminal code in a name', b'\x1b[2Jcat\n', r'\x1b[2Jcat'),
    Case('annotation', 'NUS-WIDE: an empty folder', 'dataset_converters/nus_wide.py', _nus_wide,
         'does not exist'),
)  # fmt: skip
