# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""All families that the host registers, and those that the matrix knows."""

from mmpretrain.models import backbones
from mmpretrain.registry import MODELS

from . import convolutional, transformers

__all__ = ['FAMILIES', 'registered_families']

FAMILIES = {**convolutional.FAMILIES, **transformers.FAMILIES}


def registered_families() -> list[str]:
    """The host's backbones that a config can name, in the host's order.

    ``CSPNet``, the base of three of them, is exported and not registered.
    """
    return [name for name in backbones.__all__ if name in MODELS.module_dict]
