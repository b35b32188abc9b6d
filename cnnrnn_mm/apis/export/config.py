# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What an export is made of: a config whose search has a fixed width, and photos to check with."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor

from ...datasets.annotations import read_labels
from ...errors import UsageError
from ..dataset_configs import type_name
from ..photo_inputs import list_photos
from ..split_dataset import build_split_dataset
from ..trained_model import TrainedModel

__all__ = ['export_config', 'read_photos']


def export_config(
    cfg: Config, beam_size: int | None = None, cfg_options: dict[str, Any] | None = None
) -> Config:
    """The config with beam search of a given width; best-first search gives way to it.

    Args:
        cfg: A run's config; it changes.
        beam_size: B; None for the config's own.
        cfg_options: Entries to override, by dotted key.

    Raises:
        UsageError: If a width is given for a head that has no search.
    """
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if beam_size is None:
        return cfg
    head = cfg.get('model', {}).get('head', {})
    if type_name(head) not in ('CNNRNNHead', 'RLSDHead'):
        raise UsageError(
            f'beam_size is {beam_size}, but {type_name(head)} has no search: leave it out'
        )
    asked = dict(head.get('postprocessor') or {})
    asked.pop('max_expansions', None)
    asked.pop('num_paths', None)
    asked.update(type='BeamSearchPostprocessor', beam_size=beam_size)
    head['postprocessor'] = asked
    return cfg


def read_photos(
    trained: TrainedModel, photos: Sequence[str] | None = None, num_photos: int = 200
) -> list[Tensor]:
    """Photos as the test pipeline gives them.

    Args:
        trained: Gives pipeline and config.
        photos: Files, folders and patterns; None for the config's test split.
        num_photos: Most photos, the first ones.

    Returns:
        Tensors (3, H, W).

    Raises:
        UsageError: If there are none, or one can't be read.
    """
    if num_photos < 1:
        raise UsageError(f'num_photos is {num_photos}: set it to 1 or more')
    if photos is None:
        split = 'test' if trained.cfg.get('test_dataloader') is not None else 'val'
        paths = read_labels(build_split_dataset(trained.cfg, split))[1]
    else:
        paths = [str(photo.path) for photo in list_photos(list(photos))]
    pipeline = Compose(trained.pipeline)
    read = (pipeline(dict(img_path=path, gt_label=[])) for path in paths[:num_photos])
    return [one['inputs'] for one in read]
