# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .hooks import (
    ChannelsLastHook,
    CheckDataHook,
    LabelOrderHook,
    PlainCheckpointHook,
    RandomStateHook,
)

__all__ = [
    'ChannelsLastHook',
    'CheckDataHook',
    'LabelOrderHook',
    'PlainCheckpointHook',
    'RandomStateHook',
]
