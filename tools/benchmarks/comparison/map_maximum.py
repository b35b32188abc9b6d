# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Maximum pooling of maps that are kept."""

from cnnrnn_mm.models import GlobalMaxPooling
from cnnrnn_mm.registry import MODELS

__all__ = ['MapMaximum']


@MODELS.register_module()
class MapMaximum(GlobalMaxPooling):
    """``GlobalMaxPooling`` that runs on cached maps instead of being kept with them."""

    runs_on_features = True
