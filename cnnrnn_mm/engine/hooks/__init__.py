# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .channels_last_hook import ChannelsLastHook
from .check_data_hook import CheckDataHook
from .label_order_hook import LabelOrderHook
from .plain_checkpoint_hook import PlainCheckpointHook
from .random_state_hook import RandomStateHook

__all__ = [
    'ChannelsLastHook',
    'CheckDataHook',
    'LabelOrderHook',
    'PlainCheckpointHook',
    'RandomStateHook',
]
