# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .hooks import CheckDataHook, LabelOrderHook, PlainCheckpointHook, RandomStateHook

__all__ = ['CheckDataHook', 'LabelOrderHook', 'PlainCheckpointHook', 'RandomStateHook']
