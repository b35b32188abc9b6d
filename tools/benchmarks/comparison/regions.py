# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Rows that look at regions, and the same model without them."""

import copy
from pathlib import Path

from mmengine.config import Config, ConfigDict
from tables.row import Row

from cnnrnn_mm.apis.dataset_configs import type_name
from cnnrnn_mm.errors import UsageError

from .row_files import RowFiles

__all__ = ['REGION_ROWS', 'base_of', 'check_region_config', 'without_regions']

INDEPENDENT = ('linear', 'mlp', 'csra')
PATHS = ('cnn-rnn', 'cnn-rnn-max')
REGIONS = ('rlsd-grid', 'rlsd-weak', 'rlsd-ft', 'rlsd-lse')
NECK, HEAD = 'RegionLocalizationNeck', 'RLSDHead'
#: Entries of the head that a head without regions does not have.
OF_REGIONS = ('fusion', 'start_from_region', 'region_loss')


def check_region_config(cfg: Config, name: str) -> None:
    """Refuse a config without regions."""
    model = cfg.get('model') or {}
    found = [type_name(model.get(part) or {}) for part in ('neck', 'head')]
    if found != [NECK, HEAD]:
        shown = ' and '.join(one or 'none' for one in found)
        raise UsageError(
            f'{name} has neck and head {shown}: give a config with {NECK} and {HEAD}; the rows '
            'without regions are made from it'
        )


def base_of(cfg: Config, row: Row) -> Config:
    """The config that a row is merged into.

    A row that does away with the neck builds on :func:`without_regions`. One with another source
    of proposals than the config's has that one's defaults, and else the config's options.
    """
    neck = (row.changes.get('model') or {}).get('neck', {})
    if neck is None or neck.get('_delete_'):
        return without_regions(cfg)
    base = copy.deepcopy(cfg)
    if base.model.head.get('region_loss', 0) is None:
        del base.model.head['region_loss']  # what is None can't be merged with
    kind = type_name(neck.get('proposals') or {})
    if kind not in ('', type_name(base.model.neck.proposals)):
        base.model.neck.proposals = ConfigDict()
    return base


def without_regions(cfg: Config) -> Config:
    """The CNN-RNN model of an RLSD config, without a neck.

    The label decoder that scores each region scores the map instead, which heads average; marginal
    branch, loss, postprocessor and all sizes stay.
    """
    base = copy.deepcopy(cfg)
    head = base.model.head
    for key in OF_REGIONS:
        head.pop(key, None)
    decoder = head.pop('label_decoder', None)
    if decoder is not None:
        head.decoder = decoder
    head.update(type='cnnrnn_mm.CNNRNNHead', in_channels=base.model.neck.in_channels)
    base.model.neck = None
    if type_name(base.model) == 'RegionClassifier':
        base.model.type = 'ImageClassifier'
    return base


REGION_ROWS = RowFiles(
    Path(__file__).parent / 'region_rows',
    (*INDEPENDENT, *PATHS, 'rlsd', *REGIONS),
    (*INDEPENDENT, *PATHS, *REGIONS),
    base_of,
)
