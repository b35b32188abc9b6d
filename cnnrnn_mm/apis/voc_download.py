# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fetch Pascal VOC."""

import tarfile
from pathlib import Path

from torchvision.datasets import VOCDetection

from ..errors import UsageError

__all__ = ['download_voc']

SPLITS = {'2007': ('train', 'val', 'trainval', 'test'), '2012': ('train', 'val', 'trainval')}


def download_voc(root: str | Path, year: str, split: str) -> Path:
    """Fetch and unpack the official archive of a split; torchvision compares its MD5 sum.

    An archive that is in ``root`` already, with the right sum, is not fetched again.

    Args:
        root: Where the archive is put and unpacked.
        year: '2007' or '2012'.
        split: 'train', 'val', 'trainval' or, of 2007, 'test'.

    Returns:
        The folder that holds JPEGImages, Annotations and ImageSets.

    Raises:
        UsageError: If there is no such archive, or it can't be fetched, is not whole or can't be
            unpacked.
    """
    if year not in SPLITS:
        raise UsageError(f'VOC {year} is unknown: choose one of {", ".join(SPLITS)}')
    if split not in SPLITS[year]:
        why = ' (its labels are not public)' if split == 'test' else ''
        raise UsageError(
            f"VOC {year} has no split '{split}' to download{why}: choose one of "
            f'{", ".join(SPLITS[year])}'
        )
    root = Path(root)
    try:
        VOCDetection(str(root), year=year, image_set=split, download=True)
    except (OSError, RuntimeError, tarfile.TarError) as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise UsageError(
            f'VOC {year} cannot be downloaded to {root} ({reason}): try again, or fetch it by hand '
            'from http://host.robots.ox.ac.uk/pascal/VOC and leave out --download'
        ) from None
    return root / 'VOCdevkit' / f'VOC{year}'
