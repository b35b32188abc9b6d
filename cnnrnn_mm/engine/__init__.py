# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .hooks import (
    AtomicCheckpointHook,
    ChannelsLastHook,
    CheckDataHook,
    LabelOrderHook,
    MissedValidationHook,
    NonFiniteLossHook,
    PlainCheckpointHook,
    RandomStateHook,
    SkipUnreadableHook,
)

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'CheckDataHook',
    'LabelOrderHook',
    'MissedValidationHook',
    'NonFiniteLossHook',
    'PlainCheckpointHook',
    'RandomStateHook',
    'SkipUnreadableHook',
]
