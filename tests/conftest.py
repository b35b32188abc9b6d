# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What all tests share: one thread, fixed seeds, no default scope left behind, a small data set."""

import gc
import random
import runpy
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.registry import DefaultScope
from quick_host import make_host_quick

CONVERTERS = Path(__file__).resolve().parents[1] / 'tools' / 'dataset_converters'

# Found examples must not depend on the machine's speed, nor change from run to run.
settings.register_profile('cnnrnn_mm', deadline=None, derandomize=True, database=None)
settings.load_profile('cnnrnn_mm')


@pytest.fixture(scope='session', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='session', autouse=True)
def _quick_host() -> None:
    make_host_quick()
    # The host's datasets search for garbage when they are made; what was imported is none.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_default_scope() -> Iterator[None]:
    """Start each test without a default scope, as a fresh process does, and leave none behind.

    mmengine keeps every scope ever made and calls the newest the current one, so a test that makes
    one (each Runner does) would decide what bare type names mean in all later tests.
    """
    before = DefaultScope._instance_dict.copy()
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture
def default_scope() -> Callable[[str], None]:
    """``default_scope(name)``: what a config's ``default_scope = name`` does, for this test."""

    def set_scope(name: str) -> None:
        DefaultScope.get_instance(f'test-{name}', scope_name=name)

    return set_scope


@pytest.fixture(scope='session')
def voc_folder() -> Callable[..., Path]:
    """A function that writes a small VOC devkit folder; see :func:`write_voc_folder`."""
    return write_voc_folder


def write_voc_folder(root: Path, splits: dict[str, list[list[str]]], size: int = 32) -> Path:
    """Write JPEGImages, Annotations and ImageSets/Main below ``root``, which may not exist yet.

    Args:
        root: The folder; also what ``data_root`` of the host's ``VOC`` wants.
        splits: For each split, the class names in each of its images, one object for each.
        size: Side of the pictures.

    Returns:
        ``root``. The ids are ``<split>_<number>`` and the pictures depend on the id alone.
    """
    root = Path(root)
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, images in splits.items():
        ids = [f'{split}_{number:04d}' for number in range(len(images))]
        (root / 'ImageSets' / 'Main' / f'{split}.txt').write_text(''.join(f'{i}\n' for i in ids))
        for image_id, names in zip(ids, images, strict=True):
            pixels = np.random.default_rng(zlib.crc32(image_id.encode()))
            picture = pixels.integers(0, 256, (size, size, 3), dtype=np.uint8)
            mmcv.imwrite(picture, str(root / 'JPEGImages' / f'{image_id}.jpg'))
            (root / 'Annotations' / f'{image_id}.xml').write_text(
                _annotation(image_id, names, size)
            )
    return root


def _annotation(image_id: str, names: list[str], size: int) -> str:
    objects = ''.join(
        f'<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>'
        f'<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{size}</xmax>'
        f'<ymax>{size}</ymax></bndbox></object>'
        for name in names
    )
    return (
        f'<annotation><filename>{image_id}.jpg</filename><size><width>{size}</width>'
        f'<height>{size}</height><depth>3</depth></size><segmented>0</segmented>{objects}'
        '</annotation>\n'
    )


@pytest.fixture
def convert(monkeypatch, capsys):
    """``convert(tool, *args)``: the exit status and what is printed, without a new process."""

    def run_here(tool, *args):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        try:
            runpy.run_path(str(CONVERTERS / tool), run_name='__main__')
        except SystemExit as ending:
            return ending.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    return run_here
