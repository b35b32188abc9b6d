# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .channels_last_hook import ChannelsLastHook
from .check_data_hook import CheckDataHook
from .label_order_hook import LabelOrderHook
from .missed_validation_hook import MissedValidationHook
from .non_finite_loss_hook import NonFiniteLossHook
from .plain_checkpoint_hook import PlainCheckpointHook
from .random_state_hook import RandomStateHook
from .skip_unreadable_hook import SkipUnreadableHook

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
