# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Run backbone and neck once over a split and keep what the head would see.

Axis letters: N images of a batch, V views of an image, F image feature size.
"""

import datetime
import shlex
from importlib import metadata
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from ..datasets import CachedFeatures, load_features
from ..datasets.cached_features import AUGMENTED, MIRRORED, PLAIN, read_meta
from ..datasets.feature_writer import FeatureWriter
from ..datasets.view_boxes import mirror
from ..errors import UsageError
from ..models.constant_features import weights_digest
from ..version import __version__
from .feature_model import build_feature_model, check_training_mode, compute_features
from .fingerprint import config_parts, digest, find_difference
from .split_images import ImageView, SplitImages

__all__ = ['CachedFeatures', 'extract_features', 'load_features']

PACKAGES = ('torch', 'mmpretrain', 'mmengine')


def extract_features(
    cfg: Config,
    split: str,
    out: str | Path,
    checkpoint: str | None = None,
    flip: bool = False,
    copies: int = 0,
    seed: int = 0,
    overwrite: bool = False,
    show_progress: bool = False,
) -> CachedFeatures:
    """Compute the features of each image of a split, or of those that are missing yet.

    The model is in evaluation mode, and the images come in the dataset's order through the
    pipeline of the split's own test (for the training split: the config's), whatever its sampler
    and wrappers. Killed and called again, it goes on behind the last batch written, and the file
    ends with the same bytes.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        out: Folder of all splits; this one goes to ``out / split``.
        checkpoint: Weights of the model; None for what ``load_from`` and the ``init_cfg`` entries
            of the config name, such as an ImageNet backbone.
        flip: Also the images flipped left to right behind the pipeline.
        copies: Also this many copies of each image through the training pipeline, drawn at random.
        seed: Of the copies.
        overwrite: Replace a cache of another make, complete or not.
        show_progress: Show a bar.

    Returns:
        The cache; one that is complete and of this make already is returned as it is.

    Raises:
        UsageError: If the config lacks the split, backbone or neck are not frozen, the checkpoint
            belongs to another model, or a feature can't be kept or is not finite; if there is a
            cache of another make, or another process is writing it.
    """
    if copies < 0 or (flip and copies):
        raise UsageError(
            f'{copies} copies with flip={flip}: take mirror images or a number of copies, which '
            'are mirrored where the training pipeline does it'
        )
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    folder = Path(out) / split
    images = SplitImages(cfg, split, copies, seed)
    parts = config_parts(cfg, split, copies, seed)
    checkpoint = cfg.get('load_from') if checkpoint is None else checkpoint
    model = build_feature_model(cfg, checkpoint)
    parts['weights'] = {name: weights_digest(getattr(model, name)) for name in ('backbone', 'neck')}
    parts['images'] = digest([(one['img_path'], one['file_size']) for one in images.annotations])
    if images.objects is not None:
        parts['boxes'] = images.objects
    views = [PLAIN] + [MIRRORED] * flip + [AUGMENTED] * copies
    if folder.is_dir() and not overwrite:
        return _reuse(folder, parts, views)
    loader_cfg = cfg[f'{split}_dataloader']
    meta = dict(
        split=split,
        config=Path(cfg.filename).name if cfg.filename else None,
        checkpoint=None if checkpoint is None else Path(checkpoint).name,
        views=views,
        fingerprint=dict(digest=digest(parts), **parts),
        batch_size=loader_cfg.get('batch_size', 32),
        command=extract_command(cfg, [split], out, checkpoint, flip, copies, seed),
        versions=_versions(),
        date=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
    )
    with FeatureWriter(folder, meta, images.annotations, images.classes, overwrite) as writer:
        loader: DataLoader = DataLoader(
            images,
            meta['batch_size'],
            sampler=range(writer.done, len(images)),
            num_workers=loader_cfg.get('num_workers', 0),
            collate_fn=_collate,
        )
        with Progress(disable=not show_progress) as bar:
            task = bar.add_task(f'Features of {split}', total=len(images), completed=writer.done)
            for number, (batch, boxes) in enumerate(loader):
                if number == 0:
                    check_training_mode(model, batch[0])
                batch = [batch[0], _mirror(batch[0])] if flip else batch
                features = torch.stack([compute_features(model, inputs) for inputs in batch], 1)
                if boxes is not None and flip:
                    boxes = [[view, mirror(view)] for (view,) in boxes]
                writer.write(features, boxes)
                bar.update(task, completed=writer.done)
        return writer.finish()


def extract_command(
    cfg: Config,
    splits: list[str],
    out: str | Path,
    checkpoint: str | None = None,
    flip: bool = False,
    copies: int = 0,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """The command line that makes a cache."""
    words = ['python', 'tools/extract_features.py', cfg.filename or 'CONFIG']
    words += [] if checkpoint is None else [checkpoint]
    words += ['--splits', *splits, '--out', str(out)]
    words += ['--flip'] * flip + ['--overwrite'] * overwrite
    words += ['--copies', str(copies)] if copies else []
    words += ['--seed', str(seed)] if copies and seed else []
    return shlex.join(words)


def _reuse(folder: Path, parts: dict, views: list[str]) -> CachedFeatures:
    """The cache that is there, if it is of this make."""
    meta = read_meta(folder)
    made, ours = meta.get('fingerprint') or {}, {**parts, 'views': views}
    found = find_difference({**made, 'views': meta['views']}, ours, ours)
    if found is None:
        return load_features(folder)
    raise UsageError(
        f'the cache in {folder} was made with {found[0]}, and now there is {found[1]}: replace it '
        'with --overwrite, or name another folder'
    )


def _collate(items: list[list[ImageView]]) -> tuple[list[Tensor], list[list[dict]] | None]:
    """One batch (N, 3, H, W) for each view, and the boxes of each view of each image."""
    batches = []
    for number in range(len(items[0])):
        view = [item[number].inputs for item in items]
        sizes = {tuple(one.shape) for one in view}
        if len(sizes) > 1:
            first, second = sorted(sizes)[:2]
            raise UsageError(
                f'images of one batch have shapes {first} and {second}: padded, their features '
                'would depend on each other; let the pipeline give all images one size'
            )
        batches.append(default_collate(view))
    boxes = [[view.boxes for view in item if view.boxes is not None] for item in items]
    return batches, boxes if boxes[0] else None


def _mirror(inputs: Tensor) -> Tensor:
    """Images (N, 3, H, W), flipped left to right."""
    if inputs.dim() != 4:
        raise UsageError(
            f'inputs of shape {tuple(inputs.shape)} are no images: leave out the flipped copy'
        )
    return inputs.flip(-1)


def _versions() -> dict[str, str]:
    return {'cnnrnn_mm': __version__, **{name: metadata.version(name) for name in PACKAGES}}
