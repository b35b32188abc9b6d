# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A small run in which nothing is wrong: each bad input is this with one thing changed."""

import json
import shutil
from pathlib import Path

import numpy as np
from conftest import write_voc_folder
from PIL import Image
from tiny_checkpoint import write_checkpoint
from tiny_run import CLASSES, TRAIN, VAL, write_config

__all__ = ['GoodRun']


class GoodRun:
    """Photos, annotations, a config and a checkpoint.

    Args:
        root: An empty folder for them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.voc = write_voc_folder(root / 'voc', {'train': TRAIN[:8], 'val': VAL[:2]})
        self.checkpoint, self.config = write_checkpoint(root, self.voc)
        self.photo = self.voc / 'JPEGImages' / 'val_0000.jpg'

    def config_with(self, here: Path, extra: str, voc: Path | None = None) -> Path:
        """Write the config with lines added at its end."""
        return write_config(self.voc if voc is None else voc, here / 'bad.py', extra)

    def voc_copy(self, here: Path) -> Path:
        """A copy of the photos and annotations, to change."""
        return Path(shutil.copytree(self.voc, here / 'voc'))

    @staticmethod
    def json_content() -> dict:
        """What a file of ``MultiLabelDataset`` holds; new each time."""
        images = (('a.jpg', [0]), ('b.jpg', [1, 3]), ('c.jpg', []))
        return {
            'metainfo': {'classes': list(CLASSES)},
            'data_list': [dict(img_path=path, gt_label=labels) for path, labels in images],
        }

    @staticmethod
    def coco_content() -> dict:
        """What a COCO instances file holds; new each time."""
        return {
            'categories': [dict(id=7, name='cat'), dict(id=9, name='dog')],
            'images': [dict(id=one, file_name=f'{one}.jpg', width=9, height=9) for one in (1, 2)],
            'annotations': [dict(id=1, image_id=1, category_id=7, bbox=[0, 0, 5, 5], iscrowd=0)],
        }

    @staticmethod
    def picture(path: Path, mode: str = 'RGB', size: tuple[int, int] = (32, 32), **more) -> Path:
        """Write a picture of random pixels."""
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], bands), dtype=np.uint8)
        Image.frombytes(mode, size, pixels.tobytes()).save(path, **more)
        return path


def dump(path: Path, content: object) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(content), encoding='utf-8')
    return path
