# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .check_data_hook import CheckDataHook
from .label_order_hook import LabelOrderHook
from .plain_checkpoint_hook import PlainCheckpointHook
from .random_state_hook import RandomStateHook

__all__ = ['CheckDataHook', 'LabelOrderHook', 'PlainCheckpointHook', 'RandomStateHook']
